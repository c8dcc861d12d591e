// bench/limited_link.sh: everything that two hosts exchange crosses the slow link, the library finds out who shares a host, and the link is
// taken down however the program ends. Runs alone (CMakeLists.txt): it asks the machine which links are up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <regex>
#include <set>

#include "tools/perf_lines.hpp"

namespace qccl::test {
namespace {

using testing::HasSubstr;

// The hosts of links that are up. Those of others on this machine are there before and after.
std::set<std::string> linkNamespaces() {
  std::set<std::string> found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator("/run/netns", none)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("qccl-link-")) found.insert(name);
  }
  return found;
}

bool mayMakeNamespaces() {
  return geteuid() == 0 && runProcess({"ip", "netns", "add", "qccl-may-i"}).exitCode == 0 &&
         runProcess({"ip", "netns", "del", "qccl-may-i"}).exitCode == 0;
}

class LimitedLink : public testing::Test {
 protected:
  void SetUp() override {
    if (!mayMakeNamespaces()) GTEST_SKIP() << "needs root and network namespaces";
  }
  void TearDown() override { EXPECT_EQ(linkNamespaces(), before_) << "a link was not taken down"; }

  static PerfRun overLink(std::vector<std::string> more, const std::vector<std::string>& linkFlags = {}) {
    std::vector<std::string> script = {QCCL_LIMITED_LINK};
    script.insert(script.end(), linkFlags.begin(), linkFlags.end());
    return runPerf(with({"allreduce", "--min", "1M", "--max", "1M", "--iters", "4", "--warmup", "1", "--json", "-"}, more), script);
  }

  // What either host sent lies between the payload and half more.
  static void expectSent(const PerfRun& run, double payload) {
    std::smatch sent;
    ASSERT_TRUE(std::regex_search(run.process.out, sent, std::regex("host 0 sent ([0-9]+) bytes, host 1 sent ([0-9]+)")))
        << run.process.out;
    for (const int side : {1, 2}) {
      EXPECT_GT(std::stod(sent[side]), payload) << "some of it went another way";
      EXPECT_LT(std::stod(sent[side]), 1.5 * payload);
    }
  }

  const std::set<std::string> before_ = linkNamespaces();
};

TEST_F(LimitedLink, EveryByteCrossesIt) {
  const PerfRun run = overLink({});
  ASSERT_EQ(run.process.exitCode, 0) << run.process.err << run.process.out;
  ASSERT_EQ(run.lines.size(), 2u);
  // In either placement: one call that is counted, two that are checked, one to warm up, four that are timed.
  expectSent(run, 2 * 8 * run.lines[0].at("wire_bytes").get<double>());
  // 125 MB/s less what headers take; the first quarter of a millisecond is free.
  EXPECT_GT(run.lines[0].at("time_us").get<double>(), 1048576 / 125.0 * 0.9);
}

TEST_F(LimitedLink, SeveralRanksAHostFindThatOutAndTakeHier) {
  const PerfRun run = overLink({"--codec", "int8"}, {"--ranks-per-host", "2"});
  ASSERT_EQ(run.process.exitCode, 0) << run.process.err << run.process.out;
  ASSERT_EQ(run.lines.size(), 2u);
  EXPECT_EQ(run.lines[0].at("algo"), "hier");
  EXPECT_EQ(run.lines[0].at("wrong"), 0);
  // Of the 2 * 3/4 of the message that each rank sends, 2 * 1/4 leave the host; twoshot would send twice that.
  expectSent(run, 2 * 8 * 2 * run.lines[0].at("wire_bytes").get<double>() / 3);
}

TEST_F(LimitedLink, IsTakenDownWhenTheProgramFailsOrIsStopped) {
  EXPECT_EQ(runProcess({QCCL_LIMITED_LINK, "sh", "-c", "exit 7"}).exitCode, 7);
  EXPECT_EQ(linkNamespaces(), before_);
  EXPECT_EQ(runProcess({"timeout", "--signal=TERM", "4", QCCL_LIMITED_LINK, "sleep", "60"}).exitCode, 124);
  EXPECT_EQ(linkNamespaces(), before_);
}

TEST(LimitedLinkArguments, AreRefusedWithASentence) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {}, {"--rate"}, {"--rate", "fast", "true"}, {"--ranks-per-host", "0", "true"}, {"--rate", "1gbit", "--fast"}}) {
    std::vector<std::string> command = {QCCL_LIMITED_LINK};
    command.insert(command.end(), arguments.begin(), arguments.end());
    const ProcessResult result = runProcess(command);
    EXPECT_EQ(result.exitCode, 2);
    EXPECT_THAT(result.err, HasSubstr("bench/limited_link.sh: "));
  }
}

}  // namespace
}  // namespace qccl::test
