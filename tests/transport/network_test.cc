// Two hosts, as two network namespaces with a cable between them: what works over it, and what happens when it is pulled.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "core/error.hpp"
#include "rank_processes.hpp"

namespace qccl::test {
namespace {

class TwoHosts : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "network namespaces need root";
    std::string why;
    if (!build(&why)) GTEST_SKIP() << "no network namespaces here: " << why;
  }

  void TearDown() override {
    for (const std::string& host : hosts_) ip({"netns", "del", host});
    std::filesystem::remove(idFile_);
  }

  // Rank r on host r; rank 0 makes the id.
  std::vector<ProcessResult> run(const std::string& scenario, const std::map<std::string, std::string>& environment, bool ipv6 = false) {
    const std::string script = R"(ids="$1"; shift; case "$4" in 0) exec "$@" "make:$ids";; *) exec "$@" "read:$ids";; esac)";
    std::vector<std::vector<std::string>> prefixes;
    for (std::size_t rank = 0; rank < 2; ++rank) {
      const std::string interface = ipv6 ? "QCCL_INTERFACE=fd77::" + std::to_string(rank + 1) : "QCCL_INTERFACE=" + cables_[rank];
      prefixes.push_back({"ip", "netns", "exec", hosts_[rank], "env", interface, "/bin/sh", "-c", script, "rank", idFile_});
    }
    // Both "hosts" share this machine's memory, which UCX would find out.
    std::map<std::string, std::string> all = {{"UCX_TLS", "tcp"}};
    all.insert(environment.begin(), environment.end());
    return runRankProcesses(scenario, 2, {}, all, prefixes);
  }

  const std::string number_ = std::to_string(getpid());
  const std::vector<std::string> hosts_ = {"qccl" + number_ + "a", "qccl" + number_ + "b"};
  const std::vector<std::string> cables_ = {"qc" + number_ + "a", "qc" + number_ + "b"};
  const std::string idFile_ = testing::TempDir() + "qccl-network-" + number_;

 private:
  static ProcessResult ip(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "ip");
    return runProcess(arguments);
  }

  bool build(std::string* why) {
    try {
      std::vector<std::vector<std::string>> steps = {
          {"netns", "add", hosts_[0]},
          {"netns", "add", hosts_[1]},
          {"link", "add", cables_[0], "netns", hosts_[0], "type", "veth", "peer", "name", cables_[1], "netns", hosts_[1]}};
      for (std::size_t i = 0; i < 2; ++i) {
        const std::string last = std::to_string(i + 1);
        steps.push_back({"-n", hosts_[i], "link", "set", "lo", "up"});
        steps.push_back({"-n", hosts_[i], "addr", "add", "10.77.0." + last + "/24", "dev", cables_[i]});
        steps.push_back({"-n", hosts_[i], "addr", "add", "fd77::" + last + "/64", "dev", cables_[i], "nodad"});
        steps.push_back({"-n", hosts_[i], "link", "set", cables_[i], "up"});
      }
      for (const auto& step : steps) {
        const ProcessResult result = ip(step);
        if (result.exitCode != 0) {
          *why = result.err;
          return false;
        }
      }
      // The kernel reports the link a little after the interfaces are up.
      for (std::size_t i = 0; i < 2; ++i) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (ip({"-n", hosts_[i], "link", "show", cables_[i]}).out.find("state UP") == std::string::npos) {
          if (std::chrono::steady_clock::now() >= end) throw std::runtime_error("the cable between the namespaces has no link");
          std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
      }
      return true;
    } catch (const std::exception& error) {
      *why = error.what();
      return false;
    }
  }
};

void expectDone(const std::vector<ProcessResult>& results) {
  for (const ProcessResult& result : results) {
    EXPECT_EQ(result.exitCode, 0) << describe(results);
    EXPECT_THAT(linesOf(result, "transport"), testing::ElementsAre("ucx"));
    EXPECT_THAT(linesOf(result, "hosts"), testing::ElementsAre("0 1"));
  }
  EXPECT_EQ(leftBehind(results), "");
}

TEST_F(TwoHosts, RanksMeetAndExchangeOverIpv4) { expectDone(run("AllSizes", {})); }

TEST_F(TwoHosts, RanksMeetOverIpv6) { expectDone(run("AllSizes", {}, /*ipv6=*/true)); }

TEST_F(TwoHosts, APulledCableIsAnErrorAndNotAHang) {
  const auto results = run("cut:0", {{"QCCL_TEST_CUT", "ip link set dev " + cables_[0] + " down"}, {"QCCL_TIMEOUT_MS", "9000"}});
  for (std::size_t rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(results[rank].exitCode, 0) << describe(results);
    EXPECT_FALSE(results[rank].timedOut) << describe(results);
    const std::string other = strCat("rank ", 1 - rank);
    EXPECT_THAT(linesOf(results[rank], "error"), testing::ElementsAre(testing::AllOf(testing::StartsWith("6 "), testing::HasSubstr(other))))
        << describe(results);
    EXPECT_THAT(linesOf(results[rank], "control"),
                testing::ElementsAre(testing::AllOf(testing::StartsWith("6 "), testing::HasSubstr(other))))
        << describe(results);
  }
  EXPECT_EQ(leftBehind(results), "");
}

}  // namespace
}  // namespace qccl::test
