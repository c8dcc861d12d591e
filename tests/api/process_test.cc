// Ranks as processes: the same bits as threads, and what the survivors learn when a rank dies or hangs.
#include <gtest/gtest.h>

#include "all_reduce_cases.hpp"
#include "rank_processes.hpp"
#include "rank_threads.hpp"

namespace qccl::test {
namespace {

std::vector<ProcessResult> runRanks(const std::string& mode, int size, const std::vector<std::string>& more = {},
                                    const std::map<std::string, std::string>& environment = {}) {
  return runRankProcesses(QCCL_TEST_RANK_PROGRAM, mode, size, more, environment);
}

class Processes : public testing::TestWithParam<int> {};

TEST_P(Processes, GiveTheBitsThatThreadsGiveInEveryRun) {
  const int size = GetParam();
  std::vector<std::string> expected(static_cast<std::size_t>(size));
  const RankThreads ranks("inproc", size);
  ranks.run([&](int rank, qcclComm_t comm) {
    for (const AllReduceCase& kind : allReduceCases()) {
      char hash[32];
      std::snprintf(hash, sizeof(hash), " %016llx\n", static_cast<unsigned long long>(kind.run(comm, rank)));
      expected[static_cast<std::size_t>(rank)] += kind.name() + hash;
    }
  });
  for (const std::string& text : expected) ASSERT_EQ(text, expected[0]) << "threads differ among themselves";
  for (int run = 0; run < 2; ++run) {
    for (const ProcessResult& result : runRanks("hash", size)) {
      ASSERT_EQ(result.exitCode, 0) << result.out << result.err;
      ASSERT_EQ(result.out, expected[0]) << "run " << run;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Processes, testing::Values(1, 2, 3, 4, 5, 8));

TEST(Log, SaysAtTheEndWhatACommunicatorDid) {
  for (const ProcessResult& result : runRanks("hash", 2, {}, {{"QCCL_LOG", "info"}})) {
    ASSERT_EQ(result.exitCode, 0) << result.out << result.err;
    const std::size_t cases = allReduceCases().size();
    // A third of the cases is exact.
    const std::string counts = std::to_string(cases) + " calls (" + std::to_string(cases / 3 * 2) + " quantized)";
    EXPECT_NE(result.err.find("leaves after " + counts), std::string::npos) << result.err;
  }
}

TEST(DeadRank, IsNamedOnEverySurvivor) {
  const int victim = 1;
  const auto results = runRanks("loop", 4, {std::to_string(victim), "kill"});
  for (int rank = 0; rank < 4; ++rank) {
    const ProcessResult& result = results[static_cast<std::size_t>(rank)];
    EXPECT_FALSE(result.timedOut);
    if (rank == victim) {
      EXPECT_EQ(result.exitCode, 128 + 9);
    } else {
      EXPECT_EQ(result.exitCode, 100 + qcclRemoteError) << result.out << result.err;
      EXPECT_NE(result.out.find("rank 1"), std::string::npos) << result.out;
    }
  }
}

// With every algorithm: in a ring or a tree most ranks wait for innocent neighbours.
class HungRank : public testing::TestWithParam<const char*> {};

TEST_P(HungRank, EndsInATimeoutThatNamesItOnEveryRank) {
  const int victim = 2;
  const auto results = runRanks("loop", 5, {std::to_string(victim), "hang"}, {{"QCCL_ALGO", GetParam()}});
  for (const ProcessResult& result : results) {
    EXPECT_FALSE(result.timedOut);
    EXPECT_EQ(result.exitCode, 100 + qcclTimeout) << result.out << result.err;
    EXPECT_NE(result.out.find("rank 2 has not made this call (its last was #20)"), std::string::npos) << result.out;
    EXPECT_NE(result.out.find("allreduce(count=200000"), std::string::npos) << result.out;
    EXPECT_NE(result.out.find("#21"), std::string::npos) << result.out;
  }
}

INSTANTIATE_TEST_SUITE_P(Algorithms, HungRank, testing::Values("oneshot", "twoshot", "ring", "tree", "hier"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace qccl::test
