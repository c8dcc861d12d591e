// Collectives of packed buffers on GPU memory give the host's bits: every algorithm, format, type of the result and number of ranks, any
// count, in place or not; between other calls, in graphs. tests/api/cuda/nccl_packed_test.cc has the same over NCCL.
#include <gmock/gmock.h>

#include <tuple>

#include "api/cuda/packed_contracts.hpp"

namespace qccl::test {
namespace {

using testing::HasSubstr;

class PackedOnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = device::cuda::whyNoDevice(); !why.empty()) GTEST_SKIP() << why;
  }
};

// Ranks, algorithm, ranks per host.
class PackedOnDeviceAllReduce : public PackedOnDevice, public testing::WithParamInterface<std::tuple<int, int, int>> {
 protected:
  int size() const { return std::get<0>(GetParam()); }
  int algorithm() const { return std::get<1>(GetParam()); }
  int ranksPerHost() const { return std::get<2>(GetParam()); }
};

TEST_P(PackedOnDeviceAllReduce, EveryFormatAndTypeHasTheHostsBits) {
  expectHostBits(size(), packedAllReduces(algorithm(), 70001), ranksPerHost());
}

TEST_P(PackedOnDeviceAllReduce, AnyCountHasTheHostsBits) {
  expectHostBits(size(), packedAllReducesOfAnyCount(algorithm()), ranksPerHost());
}

std::string nameOfCase(const testing::TestParamInfo<std::tuple<int, int, int>>& info) {
  return std::string(qcclEnumName(qcclEnumAlgo, std::get<1>(info.param))) + "_" + std::to_string(std::get<0>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Algorithms, PackedOnDeviceAllReduce,
                         testing::Values(std::tuple{1, qcclAlgoOneshot, 0}, std::tuple{2, qcclAlgoOneshot, 0},
                                         std::tuple{2, qcclAlgoTwoshot, 0}, std::tuple{2, qcclAlgoRing, 0}, std::tuple{2, qcclAlgoTree, 0},
                                         std::tuple{3, qcclAlgoOneshot, 0}, std::tuple{3, qcclAlgoTwoshot, 0},
                                         std::tuple{3, qcclAlgoRing, 0}, std::tuple{4, qcclAlgoTwoshot, 0}, std::tuple{4, qcclAlgoTree, 0},
                                         std::tuple{4, qcclAlgoHier, 2}),
                         nameOfCase);

class PackedOnDeviceRanks : public PackedOnDevice, public testing::WithParamInterface<int> {};

TEST_P(PackedOnDeviceRanks, ReduceScatterAndAllGatherHaveTheHostsBits) { expectHostBits(GetParam(), packedReduceScattersAndAllGathers()); }

INSTANTIATE_TEST_SUITE_P(From1To4, PackedOnDeviceRanks, testing::Values(1, 2, 3, 4), testing::PrintToStringParamName());

// A thread block takes many tiles, whose slots are used again.
TEST_F(PackedOnDevice, ManyTilesOfAThreadBlockHaveTheHostsBits) {
  const Setting blocks("QCCL_THREAD_BLOCKS", "2");
  std::vector<Operation> operations;
  for (const int algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoRing}) {
    for (const std::size_t block : {32, 256, 4096}) {
      const quant::PackedFormat format{qcclCodecInt8, qcclScaleFloat32, block};
      operations.push_back(packedOperation(qcclCollAllReduce, algorithm, format, qcclPacked, 1000003));
      operations.back().inPlace = true;
      operations.push_back(packedOperation(qcclCollAllReduce, algorithm, format, qcclFloat16, 1000003));
    }
  }
  expectHostBits(3, operations);
}

TEST_F(PackedOnDevice, GatheringInPlaceHasTheHostsBits) { expectGatheredInPlace(makeRanks(2)); }

TEST_F(PackedOnDevice, GraphsOfAccumulationAndReductionReplay) { expectPackedReplaysHaveTheHostsBits(makeRanks(2)); }

TEST_F(PackedOnDevice, StatisticsAreTheHosts) { expectTheHostsPackedStatistics(makeRanks(2)); }

TEST_F(PackedOnDevice, WhatCannotRunIsRefusedAndTheCommunicatorGoesOn) {
  const RankThreads ranks = makeRanks(2);
  const qcclPackedFormat_t format = QCCL_PACKED_FORMAT_INITIALIZER;
  ranks.run([&](int rank, qcclComm_t comm) {
    const device::cuda::DeviceGuard guard(deviceOf(rank));
    device::cuda::Stream stream;
    DeviceMemory memory(4096, 0);
    memory.fill(std::vector<char>(4096, 0), stream.handle());
    stream.synchronize();
    std::vector<char> host(4096);
    qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
    const auto refused = [&](const void* in, void* out, const char* why) {
      EXPECT_EQ(qcclAllReduceQuantized(in, out, 1000, qcclPacked, qcclSum, &format, &quant, comm, nullptr), qcclInvalidArgument);
      EXPECT_THAT(qcclGetLastError(comm), HasSubstr(why));
    };
    refused(host.data(), memory.data(), "sendpacked is in host memory");
    refused(memory.data(), host.data(), "recvbuff in host memory");
    refused(memory.data() + 8, memory.data(), "sendpacked is not aligned to 16 bytes");
    refused(memory.data(), memory.data() + 8, "recvbuff is not aligned to 16 bytes");
    quant.errorFeedback = 1;
    refused(memory.data(), memory.data(), "no precision maps or error feedback");
    quant.errorFeedback = 0;
    QCCL_EXPECT_OK(qcclAllReduceQuantized(memory.data(), memory.data(), 1000, qcclPacked, qcclSum, &format, &quant, comm, stream.handle()));
    EXPECT_EQ(memory.read(stream), std::vector<char>(4096, 0));
  });
}

}  // namespace
}  // namespace qccl::test
