// Calls on GPU memory that cannot end, end: with a sentence that names the rank, on every rank, and without a kernel left behind.
#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "api/cuda/failing_rank.hpp"

namespace qccl::test {
namespace {

using testing::HasSubstr;

class DeviceFailure : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = device::cuda::whyNoDevice(); !why.empty()) GTEST_SKIP() << why;
  }

  static RankThreads makeRanks(int size, int timeoutMs = kDeviceTimeoutMs) {
    return RankThreads("inproc", size, [&](qcclConfig_t& config) { config.timeoutMs = timeoutMs; });
  }
};

std::string failureOf(qcclComm_t comm, qcclResult_t expected) { return test::failureOf(comm, expected, std::chrono::seconds(20)); }

TEST_F(DeviceFailure, ARankThatNeverCallsIsNamed) {
  const RankThreads ranks = makeRanks(3, 1500);
  ranks.run([&](int rank, qcclComm_t comm) {
    FailingRank own(deviceOf(rank));
    QCCL_ASSERT_OK(own.allReduce(1000, comm));
    own.stream.synchronize();
    if (rank != 2) {
      QCCL_ASSERT_OK(own.allReduce(5000, comm));
    }
    own.stream.synchronize();  // ends
    EXPECT_THAT(failureOf(comm, qcclTimeout), HasSubstr("for rank 2 in allreduce(count=5000"));
  });
}

TEST_F(DeviceFailure, CallsThatDifferAreReportedAsSuch) {
  const RankThreads ranks = makeRanks(2);
  ranks.run([&](int rank, qcclComm_t comm) {
    FailingRank own(deviceOf(rank));
    QCCL_ASSERT_OK(own.allReduce(rank == 0 ? 5000 : 6000, comm));
    own.stream.synchronize();
    const std::string what = failureOf(comm, qcclInvalidUsage);
    EXPECT_THAT(what, HasSubstr("the ranks' calls differ"));
    EXPECT_THAT(what, HasSubstr("count=5000"));
    EXPECT_THAT(what, HasSubstr("count=6000"));
  });
}

TEST_F(DeviceFailure, AbortEndsTheKernelsOfAllRanks) {
  RankThreads ranks = makeRanks(2, 60000);
  ranks.run([&](int rank, qcclComm_t comm) {
    FailingRank own(deviceOf(rank));
    QCCL_ASSERT_OK(own.allReduce(1000, comm));
    own.stream.synchronize();
    if (rank == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      QCCL_EXPECT_OK(qcclCommAbort(comm));
      return;
    }
    const auto start = std::chrono::steady_clock::now();
    QCCL_ASSERT_OK(own.allReduce(5000, comm));
    own.stream.synchronize();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
    EXPECT_THAT(failureOf(comm, qcclRemoteError), HasSubstr("rank 1 aborted"));
  });
  ranks.forget(1);
}

TEST_F(DeviceFailure, WhatCannotRunIsRefusedAndTheCommunicatorGoesOn) {
  setenv("QCCL_NCCL_LIBRARY", "libno-nccl-here.so", 1);
  const RankThreads ranks = makeRanks(2);
  unsetenv("QCCL_NCCL_LIBRARY");
  ranks.run([&](int rank, qcclComm_t comm) {
    FailingRank own(deviceOf(rank));
    std::vector<float> host(1000);
    const auto refused = [&](qcclResult_t result, const char* why) {
      EXPECT_EQ(result, qcclInvalidArgument);
      EXPECT_THAT(qcclGetLastError(comm), HasSubstr(why));
    };
    refused(qcclAllReduce(own.in.data(), host.data(), 1000, qcclFloat32, qcclSum, comm, nullptr), "recvbuff in host memory");
    refused(qcclAllReduce(host.data(), own.out.data(), 1000, qcclFloat32, qcclSum, comm, nullptr), "sendbuff is in host memory");
    refused(qcclAllReduce(own.in.data(), own.out.data(), 1000, qcclInt32, qcclSum, comm, nullptr), "of int32 with sum on GPU memory");
    refused(qcclAllReduce(own.in.data(), own.out.data(), 1000, qcclFloat32, qcclMax, comm, nullptr), "QCCL_NCCL_LIBRARY");
    const qcclPrecisionRange_t range = {100, 200, qcclCodecInt8};
    refused(qcclAllReduceMapped(own.in.data(), own.out.data(), 1000, qcclFloat32, qcclSum, &range, 1, nullptr, comm, nullptr),
            "no precision maps");
    refused(qcclSend(own.in.data(), 10, qcclFloat32, 1 - rank, comm, nullptr), "send on GPU memory is the real NCCL's");
    refused(qcclAllReduce(host.data(), host.data(), 1000, qcclFloat32, qcclSum, comm, own.stream.handle()), "stream must be NULL");
    QCCL_EXPECT_OK(own.allReduce(1000, comm));
    own.stream.synchronize();
    QCCL_EXPECT_OK(qcclAllReduce(host.data(), host.data(), 1000, qcclFloat32, qcclSum, comm, nullptr));
  });
}

}  // namespace
}  // namespace qccl::test
