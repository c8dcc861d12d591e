// Which rank am I, how do we meet, and the launcher for one machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/deadline.hpp"
#include "core/error.hpp"
#include "support/process.hpp"
#include "support/temporary_folder.hpp"
#include "transport/tcp/random.hpp"
#include "transport/tcp/unique_id.hpp"

namespace qccl::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using testing::UnorderedElementsAre;

using Variables = std::map<std::string, std::string>;

// The program in an environment of exactly these variables (and what a program needs at all).
std::vector<std::string> rankCommand(const Variables& variables, const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"/usr/bin/env", "-i"};
  for (const char* kept : {"PATH", "HOME", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"}) {
    if (const char* value = getenv(kept)) command.push_back(strCat(kept, "=", value));
  }
  for (const auto& [name, value] : variables) command.push_back(name + "=" + value);
  command.emplace_back(TRANSPORT_RANK_PROGRAM);
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

ProcessResult runOne(const Variables& variables, const std::vector<std::string>& arguments) {
  return runProcess(rankCommand(variables, arguments));
}

std::vector<ProcessResult> runTogether(const std::vector<Variables>& ranks, const std::vector<std::string>& arguments) {
  std::vector<ProcessResult> results(ranks.size());
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    threads.emplace_back([&, rank] { results[rank] = runOne(ranks[rank], arguments); });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

std::vector<std::string> lines(const std::string& text, const std::string& key) {
  std::vector<std::string> found;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key + " ")) found.push_back(line.substr(key.size() + 1));
  }
  return found;
}

std::string describe(const ProcessResult& result) {
  return strCat("exit ", result.exitCode, result.timedOut ? ", timed out" : "", "\n", result.out, result.err);
}

// True once none of the processes is there any more.
bool allGone(const std::vector<std::string>& pids) {
  const Deadline deadline = Deadline::in(std::chrono::seconds(30));
  const auto gone = [](const std::string& pid) { return kill(std::stoi(pid), 0) != 0; };
  while (!std::all_of(pids.begin(), pids.end(), gone) && !deadline.passed()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return std::all_of(pids.begin(), pids.end(), gone);
}

// --- Which rank am I? ---

struct InfoCase {
  const char* name;
  Variables variables;
  std::string expected;  // launcher rank size localRank localSize
};

class LaunchInfo : public testing::TestWithParam<InfoCase> {};

TEST_P(LaunchInfo, IsReadFromTheEnvironment) {
  const ProcessResult result = runOne(GetParam().variables, {"info"});
  EXPECT_THAT(lines(result.out, "launch"), ElementsAre(GetParam().expected)) << describe(result);
}

INSTANTIATE_TEST_SUITE_P(
    Launchers, LaunchInfo,
    testing::Values(
        InfoCase{"none", {}, "none 0 1 0 1"},
        InfoCase{"torchrun", {{"RANK", "5"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "4"}}, "torchrun 5 8 1 4"},
        InfoCase{"torchrunBare", {{"RANK", "1"}, {"WORLD_SIZE", "2"}}, "torchrun 1 2 1 0"},
        InfoCase{"openmpi",
                 {{"OMPI_COMM_WORLD_RANK", "3"},
                  {"OMPI_COMM_WORLD_SIZE", "6"},
                  {"OMPI_COMM_WORLD_LOCAL_RANK", "0"},
                  {"OMPI_COMM_WORLD_LOCAL_SIZE", "3"}},
                 "openmpi 3 6 0 3"},
        InfoCase{"pmi", {{"PMI_RANK", "2"}, {"PMI_SIZE", "3"}}, "pmi 2 3 2 0"},
        InfoCase{"hydra", {{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "0"}, {"MPI_LOCALNRANKS", "2"}}, "pmi 2 4 0 2"},
        InfoCase{"slurm", {{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}, {"SLURM_LOCALID", "1"}}, "slurm 1 2 1 0"},
        InfoCase{"slurmStep",
                 {{"SLURM_JOB_ID", "77"},
                  {"SLURM_STEP_ID", "0"},
                  {"SLURM_PROCID", "6"},
                  {"SLURM_NTASKS", "9"},
                  {"SLURM_STEP_NUM_TASKS", "7"},
                  {"SLURM_LOCALID", "0"},
                  {"SLURM_NODEID", "3"},
                  {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1"}},
                 "slurm 6 7 0 1"},
        // The batch script itself is not a rank.
        InfoCase{
            "slurmBatch", {{"SLURM_JOB_ID", "77"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_LOCALID", "0"}}, "none 0 1 0 1"},
        InfoCase{"firstWins", {{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"PMI_RANK", "0"}, {"PMI_SIZE", "1"}}, "torchrun 1 2 1 0"}),
    [](const auto& each) { return std::string(each.param.name); });

TEST(LaunchInfoErrors, NameTheVariable) {
  struct Case {
    Variables variables;
    std::string sentence;
  };
  for (const Case& each :
       {Case{{{"RANK", "4"}, {"WORLD_SIZE", "4"}}, "rank 4 of 4"}, Case{{{"RANK", "one"}, {"WORLD_SIZE", "4"}}, "RANK=one"},
        Case{{{"RANK", "-1"}, {"WORLD_SIZE", "4"}}, "RANK=-1"}, Case{{{"PMI_RANK", "0"}}, "PMI_SIZE"},
        Case{{{"RANK", "0"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "3"}, {"LOCAL_WORLD_SIZE", "2"}}, "local rank 3 of 2"}}) {
    const ProcessResult result = runOne(each.variables, {"info"});
    EXPECT_THAT(lines(result.out, "exception"), ElementsAre(AllOf(StartsWith("5 "), HasSubstr(each.sentence)))) << describe(result);
  }
}

// --- The launcher for one machine ---

TEST(LocalLauncher, RunsRanksThatMeet) {
  const ProcessResult result = runOne({}, {"local", "3", "launched", "AllSizes"});
  EXPECT_EQ(result.exitCode, 0) << describe(result);
  EXPECT_THAT(lines(result.out, "launch"), UnorderedElementsAre("qccl 0 3 0 3", "qccl 1 3 1 3", "qccl 2 3 2 3"));
  EXPECT_THAT(lines(result.out, "transport"), ElementsAre("ucx", "ucx", "ucx"));
}

TEST(LocalLauncher, EachFurtherCommunicatorHasItsOwnId) {
  const ProcessResult result = runOne({}, {"local", "2", "launched", "SeveralCommunicators"});
  EXPECT_EQ(result.exitCode, 0) << describe(result);
  EXPECT_THAT(lines(result.out, "transport"), ElementsAre("ucx", "ucx", "ucx", "ucx"));
}

TEST(LocalLauncher, OneRank) {
  const ProcessResult result = runOne({}, {"local", "1", "launched", "JoinAndLeave"});
  EXPECT_EQ(result.exitCode, 0) << describe(result);
}

TEST(LocalLauncher, TheFirstFailureEndsTheOthersAndIsTheExitCode) {
  for (const auto& [scenario, code] : {std::pair{"exit:1", 42}, std::pair{"kill:2", 128 + SIGKILL}}) {
    const ProcessResult result = runOne({}, {"local", "3", "launched", scenario});
    EXPECT_EQ(result.exitCode, code) << describe(result);
    EXPECT_TRUE(allGone(lines(result.out, "pid")));
  }
}

TEST(LocalLauncher, RanksThatIgnoreTheRequestAreKilled) {
  const ProcessResult result = runOne({}, {"local", "2", "launched", "stubborn"});
  EXPECT_EQ(result.exitCode, 3) << describe(result);
  EXPECT_TRUE(allGone(lines(result.out, "pid")));
}

// Starts a launcher with two ranks that do `what`, which print a line that begins with `word` each; then a shell runs `script`, which knows
// $launcher's number and the file $out with what was printed. Reports the launcher's end.
ProcessResult disturbLauncher(const std::string& what, const std::string& word, const std::string& script) {
  const test::TemporaryFolder folder;
  const std::string whole = strCat(R"sh(out="$1/out"; shift; : > "$out"; "$@" >> "$out" & launcher=$!
while [ "$(grep -c '^)sh",
                                   word, R"sh(' "$out")" -lt 2 ]; do sleep 0.02; done
)sh",
                                   script, R"sh(
wait $launcher; code=$?
cat "$out"; exit $code)sh");
  // A shell's background programs ignore SIGINT unless told otherwise.
  std::vector<std::string> command = {"/bin/sh", "-c", whole, "launch", folder.path(), "/usr/bin/env", "--default-signal=INT"};
  for (const std::string& argument : rankCommand({}, {"local", "2", "launched", what})) command.push_back(argument);
  return runProcess(command);
}

ProcessResult signalLauncher(const std::string& signal) { return disturbLauncher("sleep", "launch ", "kill -s " + signal + " $launcher"); }

TEST(LocalLauncher, SignalsArePassedOn) {
  for (const auto& [signal, code] : {std::pair{"TERM", 128 + SIGTERM}, std::pair{"INT", 128 + SIGINT}}) {
    const ProcessResult result = signalLauncher(signal);
    EXPECT_EQ(result.exitCode, code) << describe(result);
    EXPECT_EQ(lines(result.out, "pid").size(), 2u);
    EXPECT_TRUE(allGone(lines(result.out, "pid")));
  }
}

// When the launcher looks, the rank that was killed and the one that ended because of it are both gone.
TEST(LocalLauncher, ARankThatASignalKilledIsTheReason) {
  const ProcessResult result = disturbLauncher("noticing", "rank", R"sh(pid() { sed -n "s/^rank$1 //p" "$out"; }
kill -s STOP $launcher; kill -s KILL $(pid 1); kill -s USR1 $(pid 0)
for rank in 0 1; do while ! grep -q '^State:.Z' /proc/$(pid $rank)/status; do sleep 0.02; done; done
kill -s CONT $launcher)sh");
  EXPECT_EQ(result.exitCode, 128 + SIGKILL) << describe(result);
}

TEST(LocalLauncher, RanksDieWithAKilledLauncher) {
  const ProcessResult result = signalLauncher("KILL");
  EXPECT_EQ(result.exitCode, 128 + SIGKILL) << describe(result);
  EXPECT_EQ(lines(result.out, "pid").size(), 2u);
  EXPECT_TRUE(allGone(lines(result.out, "pid")));
}

TEST(LocalLauncher, VariablesWithoutTheLauncherAreRefused) {
  const ProcessResult result =
      runOne({{"QCCL_LAUNCH_RANK", "0"}, {"QCCL_LAUNCH_SIZE", "2"}, {"QCCL_LAUNCH_ID", std::string(32, 'a')}, {"QCCL_LAUNCH_BOARD", "0"}},
             {"launched", "JoinAndLeave"});
  EXPECT_THAT(lines(result.out, "exception"), ElementsAre(AllOf(StartsWith("5 "), HasSubstr("QCCL_LAUNCH_")))) << describe(result);
}

// --- Other launchers ---

std::vector<Variables> torchrunRanks(int size, const Variables& added) {
  std::vector<Variables> ranks;
  for (int rank = 0; rank < size; ++rank) {
    Variables variables = added;
    variables.insert({{"RANK", std::to_string(rank)},
                      {"WORLD_SIZE", std::to_string(size)},
                      {"LOCAL_RANK", std::to_string(rank)},
                      {"LOCAL_WORLD_SIZE", std::to_string(size)}});
    ranks.push_back(variables);
  }
  return ranks;
}

void expectAllDone(const std::vector<ProcessResult>& results) {
  for (const ProcessResult& result : results) {
    EXPECT_EQ(result.exitCode, 0) << describe(result);
    EXPECT_THAT(lines(result.out, "transport"), testing::Not(IsEmpty()));
  }
}

TEST(Meeting, InAPrivateFolderOfOneHostThatIsGoneAfterwards) {
  const test::TemporaryFolder folder;
  expectAllDone(runTogether(torchrunRanks(3, {{"TMPDIR", folder.path()}}), {"launched", "SeveralCommunicators"}));
  EXPECT_THAT(folder.contents(), IsEmpty());
}

TEST(Meeting, AFolderThatOthersCanEnterIsRefused) {
  const test::TemporaryFolder folder;
  const std::string inside = strCat(folder.path(), "/qccl-", geteuid());
  std::filesystem::create_directory(inside);
  std::filesystem::permissions(inside, std::filesystem::perms::all);
  const ProcessResult result = runOne(torchrunRanks(2, {{"TMPDIR", folder.path()}})[0], {"launched", "JoinAndLeave"});
  EXPECT_THAT(lines(result.out, "exception"), ElementsAre(AllOf(StartsWith("2 "), HasSubstr("0700")))) << describe(result);
}

TEST(Meeting, UnderSlurm) {
  const test::TemporaryFolder folder;
  std::vector<Variables> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.push_back({{"SLURM_PROCID", std::to_string(rank)},
                     {"SLURM_NTASKS", "2"},
                     {"SLURM_LOCALID", std::to_string(rank)},
                     {"SLURM_JOB_ID", "4711"},
                     {"SLURM_STEP_ID", "2"},
                     {"TMPDIR", folder.path()}});
  }
  expectAllDone(runTogether(ranks, {"launched", "AllSizes"}));
  EXPECT_THAT(folder.contents(), IsEmpty());
}

TEST(Meeting, InAGivenFolder) {
  const test::TemporaryFolder folder;
  expectAllDone(runTogether(torchrunRanks(2, {{"QCCL_RENDEZVOUS", "dir:" + folder.path()}}), {"launched", "SeveralCommunicators"}));
  EXPECT_THAT(folder.contents(), IsEmpty());
}

TEST(Meeting, FilesOfEarlierJobsAreIgnored) {
  const test::TemporaryFolder folder;
  // An address where nobody listens: bound for a moment, so that it is free.
  transport::UniqueIdFields stale;
  stale.address = *transport::SocketAddress::parse("127.0.0.1");
  static_cast<void>(transport::listenOn(stale.address));
  stale.secret = transport::randomBytes<32>();
  const qcclUniqueId id = encodeUniqueId(stale);
  std::ofstream(folder.path() + "/torchrun-2.0.id", std::ios::binary).write(id.internal, sizeof id);
  std::ofstream(folder.path() + "/torchrun-2.1.id", std::ios::binary) << "not an id";
  expectAllDone(runTogether(torchrunRanks(2, {{"QCCL_RENDEZVOUS", "dir:" + folder.path()}}), {"launched", "SeveralCommunicators"}));
}

std::string freePort() {
  transport::SocketAddress address = *transport::SocketAddress::parse("127.0.0.1");
  static_cast<void>(transport::listenOn(address));
  return std::to_string(address.port());
}

TEST(Meeting, AtAnAgreedAddress) {
  const Variables shared = {{"QCCL_RENDEZVOUS", "tcp://127.0.0.1:" + freePort()}, {"QCCL_SECRET", "correct horse"}};
  expectAllDone(runTogether(torchrunRanks(3, shared), {"launched", "SeveralCommunicators"}));
}

TEST(Meeting, AtAnAgreedAddressNeedsTheSameSecret) {
  std::vector<Variables> ranks = torchrunRanks(2, {{"QCCL_RENDEZVOUS", "tcp://127.0.0.1:" + freePort()}, {"QCCL_TIMEOUT_MS", "2000"}});
  ranks[0]["QCCL_SECRET"] = "one";
  ranks[1]["QCCL_SECRET"] = "another";
  const auto results = runTogether(ranks, {"launched", "JoinAndLeave"});
  EXPECT_THAT(lines(results[0].out, "exception"), ElementsAre(AllOf(StartsWith("8 "), HasSubstr("rank 1")))) << describe(results[0]);
  EXPECT_THAT(lines(results[1].out, "exception"), ElementsAre(AllOf(StartsWith("8 "), HasSubstr("QCCL_")))) << describe(results[1]);
  const ProcessResult none = runOne(torchrunRanks(2, {{"QCCL_RENDEZVOUS", "tcp://127.0.0.1:1"}})[0], {"launched", "JoinAndLeave"});
  EXPECT_THAT(lines(none.out, "exception"), ElementsAre(AllOf(StartsWith("5 "), HasSubstr("QCCL_SECRET")))) << describe(none);
}

TEST(Meeting, RanksOnSeveralHostsMustSayWhere) {
  Variables variables = torchrunRanks(2, {})[0];
  variables["LOCAL_WORLD_SIZE"] = "1";
  const ProcessResult result = runOne(variables, {"launched", "JoinAndLeave"});
  EXPECT_THAT(lines(result.out, "exception"), ElementsAre(AllOf(StartsWith("5 "), HasSubstr("QCCL_RENDEZVOUS")))) << describe(result);
}

TEST(Meeting, ARankThatWaitsForRankZeroInVainSaysSo) {
  const test::TemporaryFolder folder;
  const ProcessResult result =
      runOne(torchrunRanks(2, {{"TMPDIR", folder.path()}, {"QCCL_TIMEOUT_MS", "300"}})[1], {"launched", "JoinAndLeave"});
  EXPECT_THAT(lines(result.out, "exception"), ElementsAre(AllOf(StartsWith("8 "), HasSubstr("rank 1 waited in vain for rank 0"))))
      << describe(result);
}

TEST(Meeting, UnderMpirun) {
  if (std::system("command -v mpirun > /dev/null 2>&1") != 0) GTEST_SKIP() << "mpirun is not installed";
  const test::TemporaryFolder folder;
  // Open MPI's own session folder also lies below TMPDIR.
  const ProcessResult result = runProcess(
      {"mpirun", "--oversubscribe", "-n", "3", TRANSPORT_RANK_PROGRAM, "launched", "AllSizes"},
      {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}, {"TMPDIR", folder.path()}, {"QCCL_RENDEZVOUS", ""}});
  EXPECT_EQ(result.exitCode, 0) << describe(result);
  EXPECT_THAT(lines(result.out, "launch"), UnorderedElementsAre("openmpi 0 3 0 3", "openmpi 1 3 1 3", "openmpi 2 3 2 3"));
  EXPECT_THAT(lines(result.out, "transport"), ElementsAre("ucx", "ucx", "ucx")) << describe(result);
  EXPECT_FALSE(std::filesystem::exists(strCat(folder.path(), "/qccl-", geteuid())));
}

}  // namespace
}  // namespace qccl::test
