// Ranks with a GPU each as processes: the same bits on all of them and by either memory, and what the survivor learns when a rank dies.
#include <gmock/gmock.h>

#include "api/rank_processes.hpp"
#include "device/cuda/devices.hpp"

namespace qccl::test {
namespace {

using testing::HasSubstr;

class DeviceProcesses : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (const std::string why = device::cuda::whyNoDevice(); !why.empty()) GTEST_SKIP() << why;
    if (device::cuda::deviceCount() < 2) GTEST_SKIP() << "processes whose kernels wait for one another need a GPU each, and there is one";
  }

  static std::vector<ProcessResult> runRanks(const std::string& mode, const std::string& path) {
    return runRankProcesses(QCCL_TEST_DEVICE_RANK_PROGRAM, mode, 2, {}, {{"QCCL_GPU_PATH", path}});
  }
};

TEST_P(DeviceProcesses, GiveTheSameBitsOnEveryPath) {
  const std::string expected = runRanks("sum", "peer")[0].out;
  EXPECT_THAT(expected, HasSubstr("oneshot "));
  EXPECT_THAT(expected, HasSubstr("tree "));
  for (const ProcessResult& result : runRanks("sum", GetParam())) {
    EXPECT_EQ(result.exitCode, 0) << result.out << result.err;
    EXPECT_EQ(result.out, expected);
  }
}

TEST_P(DeviceProcesses, ADeadRankIsNamedOnTheSurvivor) {
  const auto results = runRanks("die", GetParam());
  EXPECT_EQ(results[1].exitCode, 128 + 9);
  EXPECT_FALSE(results[0].timedOut);
  EXPECT_EQ(results[0].exitCode, 100 + qcclRemoteError) << results[0].out << results[0].err;
  EXPECT_THAT(results[0].out, HasSubstr("rank 1"));
}

INSTANTIATE_TEST_SUITE_P(Paths, DeviceProcesses, testing::Values("peer", "host"), [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace qccl::test
