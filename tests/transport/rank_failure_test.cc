// Ranks that die, hang or fail: every survivor learns of it, with the rank's number, and ends by itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>

#include "core/error.hpp"
#include "rank_processes.hpp"
#include "transport/bootstrap.hpp"
#include "transport/tcp/random.hpp"

namespace qccl::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::string makeId() {
  Settings settings = readSettings();
  settings.timeoutMs = 60000;
  const qcclUniqueId id = transport::makeUniqueId(settings);
  return transport::toHex(&id, sizeof id);
}

// Survivors went through their scenario to its end; both the error of the wait and the control channel's story name the victim.
void expectSurvivorsBlame(const std::vector<ProcessResult>& results, int victim, qcclResult_t code) {
  for (std::size_t rank = 0; rank < results.size(); ++rank) {
    if (static_cast<int>(rank) == victim) continue;
    EXPECT_EQ(results[rank].exitCode, 0) << describe(results);
    const auto named = AllOf(StartsWith(strCat(code, " ")), HasSubstr(strCat("rank ", victim)));
    EXPECT_THAT(linesOf(results[rank], "error"), ElementsAre(named)) << describe(results);
    EXPECT_THAT(linesOf(results[rank], "control"), ElementsAre(named)) << describe(results);
  }
  EXPECT_EQ(leftBehind(results), "");
}

class RankFailure : public testing::TestWithParam<const char*> {
 protected:
  std::map<std::string, std::string> environment() const {
    // What qccl chooses by itself, or a way of the user's.
    return GetParam() == std::string("chosen") ? std::map<std::string, std::string>{}
                                               : std::map<std::string, std::string>{{"UCX_TLS", GetParam()}};
  }
};

TEST_P(RankFailure, AKilledRankIsNamedOnEverySurvivor) {
  const auto results = runRankProcesses("die:1", 3, {makeId()}, environment());
  EXPECT_EQ(results[1].exitCode, 128 + 9);
  expectSurvivorsBlame(results, 1, qcclRemoteError);
}

TEST_P(RankFailure, AForkedChildDoesNotHideTheDeath) {
  const auto results = runRankProcesses("dieWithChild:1", 3, {makeId()}, environment());
  for (const std::string& child : linesOf(results[1], "child")) kill(std::stoi(child), SIGKILL);
  EXPECT_EQ(results[1].exitCode, 128 + 9);
  for (const std::size_t rank : {0u, 2u}) {
    EXPECT_EQ(results[rank].exitCode, 0) << describe(results);
    EXPECT_THAT(linesOf(results[rank], "control"), ElementsAre(AllOf(StartsWith("6 "), HasSubstr("rank 1")))) << describe(results);
  }
}

TEST_P(RankFailure, ARankThatExitsWithoutLeavingIsNamed) {
  expectSurvivorsBlame(runRankProcesses("quit:2", 3, {makeId()}, environment()), 2, qcclRemoteError);
}

// The rank that made the id is the root of the control channel: its death takes both along.
TEST_P(RankFailure, AKilledRootIsNamedOnEverySurvivor) {
  const std::string file = strCat(testing::TempDir(), "qccl-root-", getpid(), "-", GetParam());
  std::vector<std::vector<std::string>> prefixes(3);
  // Rank 0 makes the id, the others read it.
  const std::string script = R"(ids="$1"; shift; case "$4" in 0) exec "$@" "make:$ids";; *) exec "$@" "read:$ids";; esac)";
  for (auto& prefix : prefixes) prefix = {"/bin/sh", "-c", script, "rank", file};
  const auto results = runRankProcesses("die:0", 3, {}, environment(), prefixes);
  std::filesystem::remove(file);
  EXPECT_EQ(results[0].exitCode, 128 + 9) << describe(results);
  expectSurvivorsBlame(results, 0, qcclRemoteError);
}

TEST_P(RankFailure, AStoppedRankIsLeftToTheCallersTimeout) {
  const auto results = runRankProcesses("stop:1", 3, {makeId()}, environment());
  EXPECT_EQ(results[1].exitCode, 128 + 9);
  int waited = 0;
  for (const int rank : {0, 2}) {
    const ProcessResult& result = results[static_cast<std::size_t>(rank)];
    EXPECT_EQ(result.exitCode, 0) << describe(results);
    waited += static_cast<int>(linesOf(result, "waited").size());
    EXPECT_THAT(linesOf(result, "control"), ElementsAre("8 rank 1 makes no progress")) << describe(results);
  }
  EXPECT_GE(waited, 1) << describe(results);
  EXPECT_EQ(leftBehind(results), "");
}

TEST_P(RankFailure, WhatOneRankReportsAllRanksSay) {
  const auto results = runRankProcesses("report:2", 3, {makeId()}, environment());
  for (const ProcessResult& result : results) {
    EXPECT_EQ(result.exitCode, 0) << describe(results);
    EXPECT_THAT(linesOf(result, "error"), ElementsAre("5 rank 2 saw different counts")) << describe(results);
  }
  EXPECT_EQ(leftBehind(results), "");
}

INSTANTIATE_TEST_SUITE_P(Ucx, RankFailure, testing::Values("chosen", "tcp", "posix"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace qccl::test
