// The conformance suite over ucx, ranks as threads of one process and as processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "conformance.hpp"
#include "core/error.hpp"
#include "rank_processes.hpp"
#include "rank_threads.hpp"
#include "transport/bootstrap.hpp"
#include "transport/tcp/random.hpp"

namespace qccl::test {
namespace {

constexpr int kCommunicators = 2;  // the most that a scenario joins

Settings ucxSettings() {
  Settings settings = readSettings();
  settings.timeoutMs = 60000;
  settings.transport = "ucx";
  return settings;
}

std::string scenarioName(const testing::TestParamInfo<std::tuple<Scenario, int>>& each) {
  return strCat(std::get<0>(each.param).name, "_", std::get<1>(each.param), "Ranks");
}

class UcxThreads : public testing::TestWithParam<std::tuple<Scenario, int>> {};

TEST_P(UcxThreads, Holds) {
  const auto& [scenario, size] = GetParam();
  const Settings settings = ucxSettings();
  std::vector<qcclUniqueId> ids;
  for (int i = 0; i < kCommunicators; ++i) ids.push_back(transport::makeUniqueId(settings));
  const int ranks = size;
  const auto complaints = runRankThreads(size, [&](int rank) {
    std::size_t next = 0;
    scenario.run([&] {
      transport::Membership member = transport::joinTcp(ids.at(next++), rank, ranks, settings);
      EXPECT_STREQ(member.transport->name(), "ucx");
      return member;
    });
  });
  EXPECT_THAT(complaints, testing::Each(""));
}

INSTANTIATE_TEST_SUITE_P(Ucx, UcxThreads, testing::Combine(testing::ValuesIn(conformanceScenarios()), testing::Values(2, 3, 5)),
                         scenarioName);

class UcxProcesses : public testing::TestWithParam<std::tuple<Scenario, int>> {};

TEST_P(UcxProcesses, Holds) {
  const auto& [scenario, size] = GetParam();
  std::vector<std::string> ids;
  for (int i = 0; i < kCommunicators; ++i) {
    const qcclUniqueId id = transport::makeUniqueId(ucxSettings());
    ids.push_back(transport::toHex(&id, sizeof id));
  }
  const auto results = runRankProcesses(scenario.name, size, ids);
  for (const ProcessResult& result : results) {
    EXPECT_EQ(result.exitCode, 0) << describe(results);
    EXPECT_THAT(linesOf(result, "transport"), testing::Each("ucx"));  // what "auto" takes for several processes
    EXPECT_THAT(linesOf(result, "transport"), testing::Not(testing::IsEmpty()));
    EXPECT_THAT(linesOf(result, "hosts"), testing::Each(testing::MatchesRegex("0( 0)*")));  // processes of one host
  }
  EXPECT_EQ(leftBehind(results), "");
}

INSTANTIATE_TEST_SUITE_P(Ucx, UcxProcesses, testing::Combine(testing::ValuesIn(conformanceScenarios()), testing::Values(2, 3)),
                         scenarioName);

// The ways that UCX has on every Linux host, each alone.
class UcxWays : public testing::TestWithParam<const char*> {};

TEST_P(UcxWays, CarriesEverySize) {
  const qcclUniqueId id = transport::makeUniqueId(ucxSettings());
  const auto results = runRankProcesses("AllSizes", 3, {transport::toHex(&id, sizeof id)}, {{"UCX_TLS", GetParam()}});
  for (const ProcessResult& result : results) {
    EXPECT_EQ(result.exitCode, 0) << describe(results);
    EXPECT_THAT(result.out, testing::Not(testing::HasSubstr("UCX"))) << "UCX complains about what we set";
  }
  EXPECT_EQ(leftBehind(results), "");
}

INSTANTIATE_TEST_SUITE_P(Ucx, UcxWays, testing::Values("tcp", "posix", "sysv", "posix,cma", "all"), [](const auto& each) {
  std::string name = each.param;
  std::replace(name.begin(), name.end(), ',', '_');
  return name;
});

TEST(Ucx, InprocForSeveralProcessesIsRefused) {
  const qcclUniqueId id = transport::makeUniqueId(ucxSettings());
  const auto results = runRankProcesses("JoinAndLeave", 2, {transport::toHex(&id, sizeof id)}, {{"QCCL_TRANSPORT", "inproc"}});
  for (const ProcessResult& result : results) {
    EXPECT_EQ(result.exitCode, 1) << describe(results);
    EXPECT_THAT(linesOf(result, "exception"),
                testing::ElementsAre(testing::StartsWith("5 transport inproc was asked for, but rank 1 is not in the process of rank 0")));
  }
}

TEST(Ucx, InterfaceNarrowsTcp) {
  Settings settings = ucxSettings();
  settings.interfaceName = "lo";
  const qcclUniqueId id = transport::makeUniqueId(settings);
  const auto results = runRankProcesses("AllSizes", 2, {transport::toHex(&id, sizeof id)},
                                        {{"UCX_TLS", "tcp"}, {"QCCL_INTERFACE", "127.0.0.1"}, {"UCX_LOG_LEVEL", "info"}});
  for (const ProcessResult& result : results) {
    EXPECT_EQ(result.exitCode, 0) << describe(results);
    EXPECT_THAT(result.out, testing::HasSubstr("tcp/lo")) << describe(results);
  }
}

// The library is opened at run time, so its absence is a sentence and not a program that does not start.
TEST(Ucx, AMissingLibrarySaysWhatToInstall) {
  if (geteuid() != 0) GTEST_SKIP() << "hiding a library from a process needs root";
  // An empty file in its place, in a mount namespace of the process's own.
  const std::string hide =
      "library=$(ldconfig -p | sed -n 's/.*libucp.so.0 .*=> //p' | head -n 1) && mount --bind /dev/null \"$(realpath \"$library\")\" || "
      "exit 77; exec \"$@\"";
  const std::vector<std::string> prefix = {"unshare", "--mount", "/bin/sh", "-c", hide, "rank"};
  const qcclUniqueId id = transport::makeUniqueId(ucxSettings());
  const auto results = runRankProcesses("JoinAndLeave", 2, {transport::toHex(&id, sizeof id)}, {}, {prefix, prefix});
  if (results[0].exitCode == 77 || linesOf(results[0], "pid").empty()) GTEST_SKIP() << "no mount namespaces here: " << describe(results);
  for (const ProcessResult& result : results) {
    EXPECT_EQ(result.exitCode, 1);
    EXPECT_THAT(linesOf(result, "exception"), testing::ElementsAre(testing::HasSubstr("apt install libucx0"))) << describe(results);
  }
}

}  // namespace
}  // namespace qccl::test
