// How the C API behaves around the collectives: refusals, groups, mismatches, timeouts, aborts, handles.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>

#include "rank_threads.hpp"

namespace qccl::test {
namespace {

using std::chrono_literals::operator""ms;

std::string lastError(qcclComm_t comm = nullptr) { return qcclGetLastError(comm); }

testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "\"" << text << "\" does not contain \"" << part << "\"";
}

// A failure reaches a rank that is not in a call a moment later.
void awaitFailure(qcclComm_t comm) {
  qcclResult_t result = qcclSuccess;
  for (int i = 0; i < 3000 && result == qcclSuccess; ++i) {
    QCCL_ASSERT_OK(qcclCommGetAsyncError(comm, &result));
    std::this_thread::sleep_for(10ms);
  }
}

class Behaviour : public testing::TestWithParam<const char*> {
 protected:
  std::string transport() const { return GetParam(); }
};

TEST_P(Behaviour, BadArgumentsAreRefusedAndHarmNothing) {
  const RankThreads ranks(transport(), 2);
  ranks.run([&](int, qcclComm_t comm) {
    float x[4] = {1, 2, 3, 4};
    EXPECT_EQ(qcclAllReduce(nullptr, x, 4, qcclFloat32, qcclSum, comm, nullptr), qcclInvalidArgument);
    EXPECT_TRUE(contains(lastError(), "sendbuff"));
    EXPECT_EQ(qcclAllReduce(x, nullptr, 4, qcclFloat32, qcclSum, comm, nullptr), qcclInvalidArgument);
    EXPECT_EQ(qcclAllReduce(x, x, 4, static_cast<qcclDataType_t>(12), qcclSum, comm, nullptr), qcclInvalidArgument);
    EXPECT_EQ(qcclAllReduce(x, x, 4, qcclFloat32, static_cast<qcclRedOp_t>(5), comm, nullptr), qcclInvalidArgument);
    EXPECT_EQ(qcclAllReduce(x, x, static_cast<size_t>(-4), qcclFloat32, qcclSum, comm, nullptr), qcclInvalidArgument);
    EXPECT_EQ(qcclAllReduce(x, x, 4, qcclFloat32, qcclSum, comm, x), qcclInvalidArgument);
    EXPECT_TRUE(contains(lastError(), "stream"));
    EXPECT_EQ(qcclBroadcast(x, x, 4, qcclFloat32, 2, comm, nullptr), qcclInvalidArgument);
    EXPECT_TRUE(contains(lastError(), "root 2"));
    EXPECT_EQ(qcclSend(x, 4, qcclFloat32, -1, comm, nullptr), qcclInvalidArgument);
    qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
    quant.codec = qcclCodecInt8;
    EXPECT_EQ(qcclAllReduceEx(x, x, 4, qcclInt32, qcclSum, &quant, comm, nullptr), qcclInvalidArgument);
    EXPECT_TRUE(contains(lastError(), "int32"));
    quant.blockElems = 100;
    EXPECT_EQ(qcclAllReduceEx(x, x, 4, qcclFloat32, qcclSum, &quant, comm, nullptr), qcclInvalidArgument);
    EXPECT_TRUE(contains(lastError(), "blockElems"));
    // Nothing has happened: the communicator still works.
    QCCL_EXPECT_OK(qcclAllReduce(x, x, 4, qcclFloat32, qcclSum, comm, nullptr));
    EXPECT_EQ(x[3], 8.0f);
    qcclResult_t async = qcclInternalError;
    QCCL_EXPECT_OK(qcclCommGetAsyncError(comm, &async));
    EXPECT_EQ(async, qcclSuccess);
  });
}

TEST_P(Behaviour, MismatchedCallsAreReportedOnEveryRank) {
  const auto mismatch = [&](const std::function<qcclResult_t(int, qcclComm_t, float*)>& call, const std::string& part) {
    const RankThreads ranks(transport(), 3);
    ranks.run([&](int rank, qcclComm_t comm) {
      std::vector<float> x(100000, 1.0f);
      const qcclResult_t result = call(rank, comm, x.data());
      EXPECT_EQ(result, qcclInvalidUsage) << lastError();
      EXPECT_TRUE(contains(lastError(comm), part));
      EXPECT_TRUE(contains(lastError(comm), "differ"));
      // And the communicator stays unusable, with the same story.
      EXPECT_EQ(qcclAllReduce(x.data(), x.data(), 4, qcclFloat32, qcclSum, comm, nullptr), qcclInvalidUsage);
    });
  };
  mismatch([](int rank, qcclComm_t comm,
              float* x) { return qcclAllReduce(x, x, rank == 1 ? 1000 : 99999, qcclFloat32, qcclSum, comm, nullptr); },
           "count=1000");
  mismatch([](int rank, qcclComm_t comm, float* x) { return qcclAllReduce(x, x, rank == 2 ? 0 : 64, qcclFloat32, qcclSum, comm, nullptr); },
           "count=0");
  mismatch([](int rank, qcclComm_t comm,
              float* x) { return qcclAllReduce(x, x, 1000, rank == 0 ? qcclInt32 : qcclFloat32, qcclSum, comm, nullptr); },
           "int32");
  mismatch([](int rank, qcclComm_t comm,
              float* x) { return qcclAllReduce(x, x, 1000, qcclFloat32, rank == 0 ? qcclMax : qcclSum, comm, nullptr); },
           "max");
  mismatch([](int rank, qcclComm_t comm, float* x) { return qcclBroadcast(x, x, 1000, qcclFloat32, rank, comm, nullptr); }, "root=");
  mismatch(
      [](int rank, qcclComm_t comm, float* x) {
        return rank == 0 ? qcclAllGather(x, x, 100, qcclFloat32, comm, nullptr)
                         : qcclAllReduce(x, x, 100, qcclFloat32, qcclSum, comm, nullptr);
      },
      "allgather");
  const auto mismatchedConfig = [&](const std::function<void(int, qcclQuantConfig_t*)>& change, const std::string& part) {
    mismatch(
        [&](int rank, qcclComm_t comm, float* x) {
          qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
          quant.codec = qcclCodecInt8;
          change(rank, &quant);
          return qcclAllReduceEx(x, x, 100000, qcclFloat32, qcclSum, &quant, comm, nullptr);
        },
        part);
  };
  mismatchedConfig([](int rank, qcclQuantConfig_t* quant) { quant->blockElems = rank == 0 ? 64 : 256; }, "block=64");
  mismatchedConfig(
      [](int rank, qcclQuantConfig_t* quant) {
        quant->codec = qcclCodecNone;
        quant->algorithm = qcclAlgoHier;
        quant->ranksPerHost = rank == 0 ? 3 : 1;
      },
      "ranks per host=3");
  mismatchedConfig([](int rank, qcclQuantConfig_t* quant) { quant->inspectEvery = rank == 2 ? 5 : 0; }, "inspected every 5");
}

TEST_P(Behaviour, HierNeedsHostsOfEquallyManyRanks) {
  const RankThreads ranks(transport(), 4);
  ranks.run([&](int, qcclComm_t comm) {
    std::vector<float> x(100000, 1.0f);
    qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
    quant.algorithm = qcclAlgoHier;
    quant.ranksPerHost = 3;
    EXPECT_EQ(qcclAllReduceEx(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, &quant, comm, nullptr), qcclInvalidArgument);
    EXPECT_TRUE(contains(lastError(), "ranksPerHost = 3 does not divide the 4 ranks"));
    quant.ranksPerHost = -2;
    EXPECT_EQ(qcclAllReduceEx(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, &quant, comm, nullptr), qcclInvalidArgument);
    EXPECT_TRUE(contains(lastError(), "ranksPerHost"));
    // All ranks of this test share a host, which hier finds out by itself.
    quant.ranksPerHost = QCCL_UNDEF_INT;
    QCCL_EXPECT_OK(qcclAllReduceEx(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, &quant, comm, nullptr));
    EXPECT_EQ(x[99999], 4.0f);
    // Two hosts of two: chosen where nothing else is asked for, and said so.
    quant.algorithm = QCCL_UNDEF_INT;
    qcclPlan_t plan;
    QCCL_EXPECT_OK(qcclCommExplain(comm, qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, &quant, &plan));
    EXPECT_EQ(plan.algorithm, qcclAlgoTwoshot);
    quant.ranksPerHost = 2;
    QCCL_EXPECT_OK(qcclCommExplain(comm, qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, &quant, &plan));
    EXPECT_EQ(plan.algorithm, qcclAlgoHier);
    EXPECT_TRUE(contains(plan.reason, "2 hosts of 2 ranks"));
    EXPECT_EQ(plan.wireBytes, std::uint64_t{2} * 3 * (1 << 20));  // 2 (W-1)/W of 4 MiB
  });
}

TEST_P(Behaviour, PointToPointSizesThatDifferAreReported) {
  const RankThreads ranks(transport(), 2);
  ranks.run([&](int rank, qcclComm_t comm) {
    std::vector<float> x(1000);
    const qcclResult_t result =
        rank == 0 ? qcclSend(x.data(), 1000, qcclFloat32, 1, comm, nullptr) : qcclRecv(x.data(), 500, qcclFloat32, 0, comm, nullptr);
    // The sender may be done before the receiver finds out.
    if (rank == 1) {
      EXPECT_EQ(result, qcclInvalidUsage) << lastError();
      EXPECT_TRUE(contains(lastError(comm), "4000"));
      EXPECT_TRUE(contains(lastError(comm), "2000"));
    }
  });
}

TEST_P(Behaviour, AMissingRankEndsInATimeoutThatNamesIt) {
  const RankThreads ranks(transport(), 3, [](qcclConfig_t& config) { config.timeoutMs = 400; });
  ranks.run([&](int rank, qcclComm_t comm) {
    if (rank == 1) return;
    std::vector<float> x(100000, 1.0f);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(qcclAllReduce(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, comm, nullptr), qcclTimeout);
    EXPECT_LT(std::chrono::steady_clock::now() - start, 30000ms);
    EXPECT_TRUE(contains(lastError(comm), "waited 400 ms"));
    EXPECT_TRUE(contains(lastError(comm), "allreduce(count=100000"));
    EXPECT_TRUE(contains(lastError(comm), "call #1"));
    EXPECT_TRUE(contains(lastError(comm), "1"));
  });
  // The rank that did not come learns it too.
  awaitFailure(ranks.comm(1));
  float x = 1;
  EXPECT_EQ(qcclAllReduce(&x, &x, 1, qcclFloat32, qcclSum, ranks.comm(1), nullptr), qcclTimeout);
}

TEST_P(Behaviour, AbortEndsCallsInFlightOnEveryRank) {
  RankThreads ranks(transport(), 3);
  std::atomic<int> waiting{0};
  std::thread aborter([&] {
    while (waiting < 2) std::this_thread::yield();
    std::this_thread::sleep_for(50ms);
    QCCL_EXPECT_OK(qcclCommAbort(ranks.comm(0)));
  });
  ranks.run([&](int rank, qcclComm_t comm) {
    if (rank == 2) return;  // never calls, so the others wait
    std::vector<float> x(100000, 1.0f);
    ++waiting;
    const qcclResult_t result = qcclAllReduce(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, comm, nullptr);
    EXPECT_EQ(result, rank == 0 ? qcclInvalidUsage : qcclRemoteError) << lastError();
    EXPECT_TRUE(contains(lastError(), "abort"));
  });
  aborter.join();
  ranks.forget(0);
  // The aborted handle is gone, the others know why they cannot go on.
  awaitFailure(ranks.comm(2));
  float x = 1;
  EXPECT_EQ(qcclAllReduce(&x, &x, 1, qcclFloat32, qcclSum, ranks.comm(2), nullptr), qcclRemoteError);
  EXPECT_TRUE(contains(lastError(ranks.comm(2)), "rank 0 aborted"));
}

TEST_P(Behaviour, OneThreadDrivesSeveralRanksInAGroup) {
  const RankThreads ranks(transport(), 4);
  std::vector<std::vector<float>> x;
  for (int rank = 0; rank < 4; ++rank) x.emplace_back(1000, static_cast<float>(rank));
  QCCL_EXPECT_OK(qcclGroupStart());
  QCCL_EXPECT_OK(qcclGroupStart());  // nesting counts
  for (int rank = 0; rank < 4; ++rank) {
    float* data = x[static_cast<std::size_t>(rank)].data();
    QCCL_EXPECT_OK(qcclAllReduce(data, data, 1000, qcclFloat32, qcclSum, ranks.comm(rank), nullptr));
    QCCL_EXPECT_OK(qcclAllReduce(data, data, 1000, qcclFloat32, qcclMax, ranks.comm(rank), nullptr));
  }
  QCCL_EXPECT_OK(qcclGroupEnd());
  EXPECT_EQ(x[2][999], 2.0f);  // nothing runs before the outermost end
  QCCL_EXPECT_OK(qcclGroupEnd());
  for (const auto& values : x) EXPECT_EQ(values, std::vector<float>(1000, 6.0f));
}

TEST_P(Behaviour, ARefusedCallFailsItsWholeGroup) {
  const RankThreads ranks(transport(), 1);
  float x = 1;
  QCCL_EXPECT_OK(qcclGroupStart());
  QCCL_EXPECT_OK(qcclAllReduce(&x, &x, 1, qcclFloat32, qcclSum, ranks.comm(0), nullptr));
  EXPECT_EQ(qcclAllReduce(nullptr, &x, 1, qcclFloat32, qcclSum, ranks.comm(0), nullptr), qcclInvalidArgument);
  EXPECT_EQ(qcclGroupEnd(), qcclInvalidArgument);
  EXPECT_TRUE(contains(lastError(), "sendbuff"));
  EXPECT_EQ(qcclGroupEnd(), qcclInvalidUsage);  // none is open
  qcclStats_t stats{};
  stats.size = sizeof(stats);
  QCCL_EXPECT_OK(qcclCommGetStats(ranks.comm(0), &stats));
  EXPECT_EQ(stats.calls, 0u);
}

TEST_P(Behaviour, TwoCommunicatorsAtOnceDoNotDisturbOneAnother) {
  const RankThreads first(transport(), 3);
  const RankThreads second(transport(), 3);
  std::vector<std::thread> threads;
  for (const RankThreads* ranks : {&first, &second}) {
    for (int rank = 0; rank < 3; ++rank) {
      threads.emplace_back([ranks, rank] {
        for (int i = 0; i < 20; ++i) {
          std::vector<float> x(10000, static_cast<float>(rank + i));
          QCCL_EXPECT_OK(qcclAllReduce(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, ranks->comm(rank), nullptr));
          EXPECT_EQ(x[9999], static_cast<float>(3 + 3 * i));
        }
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_P(Behaviour, AThreadThatDestroysItsRankDoesNotFailTheOthersLastCall) {
  for (int round = 0; round < 10; ++round) {
    RankThreads ranks(transport(), 3);
    ranks.run([&](int rank, qcclComm_t comm) {
      std::vector<float> x(50000, 1.0f);
      QCCL_EXPECT_OK(qcclAllReduce(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, comm, nullptr));
      EXPECT_EQ(x[49999], 3.0f);
      QCCL_EXPECT_OK(qcclCommDestroy(comm));
      ranks.forget(rank);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(All, Behaviour, testing::Values("inproc", "ucx"), [](const auto& test) { return std::string(test.param); });

TEST(Handles, StaleNullAndWildOnesAreRefused) {
  qcclComm_t comm = nullptr;
  QCCL_EXPECT_OK(qcclCommInitAll(&comm, 1, nullptr));
  QCCL_EXPECT_OK(qcclCommDestroy(comm));
  int n = 0;
  EXPECT_EQ(qcclCommCount(comm, &n), qcclInvalidArgument);
  EXPECT_EQ(qcclCommDestroy(comm), qcclInvalidArgument);
  EXPECT_EQ(qcclCommCount(nullptr, &n), qcclInvalidArgument);
  EXPECT_EQ(qcclCommCount(reinterpret_cast<qcclComm_t>(&n), &n), qcclInvalidArgument);
  QCCL_EXPECT_OK(qcclCommDestroy(nullptr));
  QCCL_EXPECT_OK(qcclCommAbort(nullptr));
}

TEST(Configuration, IsChecked) {
  qcclComm_t comm = nullptr;
  qcclConfig_t config = QCCL_CONFIG_INITIALIZER;
  config.transport = "carrier-pigeon";
  EXPECT_EQ(qcclCommInitAllConfig(&comm, 1, nullptr, &config), qcclInvalidArgument);
  EXPECT_TRUE(contains(lastError(), "carrier-pigeon"));
  config = QCCL_CONFIG_INITIALIZER;
  config.timeoutMs = 0;
  EXPECT_EQ(qcclCommInitAllConfig(&comm, 1, nullptr, &config), qcclInvalidArgument);
  std::memset(&config, 0, sizeof(config));
  EXPECT_EQ(qcclCommInitAllConfig(&comm, 1, nullptr, &config), qcclInvalidArgument);
  EXPECT_TRUE(contains(lastError(), "QCCL_CONFIG_INITIALIZER"));
  EXPECT_EQ(comm, nullptr);
  setenv("QCCL_TIMEOUT_MS", "soon", 1);
  EXPECT_EQ(qcclCommInitAll(&comm, 1, nullptr), qcclInvalidArgument);
  EXPECT_TRUE(contains(lastError(), "QCCL_TIMEOUT_MS=soon"));
  unsetenv("QCCL_TIMEOUT_MS");
  EXPECT_EQ(qcclCommInitAll(&comm, 0, nullptr), qcclInvalidArgument);
  // Refused before anything is made or anybody is waited for.
  EXPECT_EQ(qcclCommInitAll(&comm, 2049, nullptr), qcclInvalidArgument);
  EXPECT_TRUE(contains(lastError(), "from 1 to 2048"));
  EXPECT_EQ(qcclCommInitRank(&comm, 2049, qcclUniqueId{}, 2048), qcclInvalidArgument);
  EXPECT_TRUE(contains(lastError(), "from 1 to 2048"));
  EXPECT_EQ(comm, nullptr);
}

TEST(Configuration, EnvironmentSetsDefaultsAndTheProgramWins) {
  setenv("QCCL_CODEC", "int8", 1);
  setenv("QCCL_ALGO", "ring", 1);
  const RankThreads environment("inproc", 2);
  const RankThreads program("inproc", 2, [](qcclConfig_t& config) { config.quant.codec = qcclCodecNone; });
  unsetenv("QCCL_CODEC");
  unsetenv("QCCL_ALGO");
  qcclPlan_t plan;
  QCCL_EXPECT_OK(qcclCommExplain(environment.comm(0), qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, nullptr, &plan));
  EXPECT_EQ(plan.codec, qcclCodecInt8);
  EXPECT_EQ(plan.algorithm, qcclAlgoRing);
  EXPECT_GT(plan.errorBound, 0.0);
  QCCL_EXPECT_OK(qcclCommExplain(program.comm(0), qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, nullptr, &plan));
  EXPECT_EQ(plan.codec, qcclCodecNone);
  EXPECT_EQ(plan.errorBound, 0.0);
  EXPECT_TRUE(contains(plan.reason, "exact"));
  QCCL_EXPECT_OK(qcclCommExplain(environment.comm(0), qcclCollAllReduce, 1 << 20, qcclInt64, qcclSum, nullptr, &plan));
  EXPECT_TRUE(contains(plan.reason, "int64"));
  EXPECT_EQ(qcclCommExplain(environment.comm(0), qcclCollBroadcast, 1, qcclFloat32, qcclSum, nullptr, &plan), qcclInvalidArgument);
}

TEST(Threads, TwoInsideOneCommunicatorAreRefusedNotRaced) {
  const RankThreads ranks("inproc", 2, [](qcclConfig_t& config) { config.timeoutMs = 5000; });
  std::atomic<bool> entered{false};
  std::thread first([&] {
    float x = 1;
    entered = true;
    qcclAllReduce(&x, &x, 1, qcclFloat32, qcclSum, ranks.comm(0), nullptr);
  });
  while (!entered) std::this_thread::yield();
  std::this_thread::sleep_for(50ms);
  float x = 1;
  EXPECT_EQ(qcclAllReduce(&x, &x, 1, qcclFloat32, qcclSum, ranks.comm(0), nullptr), qcclInvalidUsage);
  EXPECT_TRUE(contains(lastError(), "two threads"));
  // The refusal did not hurt the call that was there first.
  EXPECT_EQ(qcclAllReduce(&x, &x, 1, qcclFloat32, qcclSum, ranks.comm(1), nullptr), qcclSuccess) << lastError();
  first.join();
}

}  // namespace
}  // namespace qccl::test
