// activation-bench as it is run: with a GPU every operator is measured and a plan takes the bytes that it is made of; without one it says
// so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "support/process.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::test {
namespace {

using testing::HasSubstr;

ProcessResult bench(std::vector<std::string> flags) {
  flags.insert(flags.begin(), {QCCL_ACTIVATION_BENCH, "--rows", "256", "--cols", "512", "--ffn", "1024", "--layers", "2", "--turns", "2"});
  return runProcess(flags);
}

TEST(ActivationBench, MeasuresOperatorsAndPlans) {
  const TemporaryFolder folder;
  const std::string path = folder.path("lines");
  const ProcessResult result = bench({"--dtype", "bfloat16", "--codec", "int4", "--plan", "mixed", "--json", path});
  if (result.exitCode == 2) {
    EXPECT_THAT(result.err, HasSubstr("CUDA"));
    GTEST_SKIP() << result.err;
  }
  ASSERT_EQ(result.exitCode, 0) << result.err;
  std::set<std::string> operators;
  std::uint64_t planBytes = 0;
  std::istringstream lines(readFile(path));
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json row = nlohmann::json::parse(line);
    if (row.contains("plan")) {
      planBytes = row.at("pool_used_bytes").get<std::uint64_t>();
      EXPECT_GT(row.at("error_of_q").get<double>(), 1e-4) << row;
      EXPECT_LT(row.at("error_of_q").get<double>(), 0.02) << row;
      continue;
    }
    operators.insert(row.at("operator").get<std::string>());
    EXPECT_GT(row.at("seconds").get<double>(), 0) << row;
  }
  EXPECT_EQ(operators.size(), 8u);
  // A token of a layer: 3072 values in 4 bits and 1280 in 8, a scale of 2 bytes for 128, and 6 statistics of 4 bytes.
  EXPECT_EQ(planBytes, (3072 / 2 + 1280 + (3072 + 1280) / 128 * 2 + 6 * 4) * 256 * 2u);
}

TEST(ActivationBench, SaysWhatIsWrong) {
  const ProcessResult result = bench({"--codec", "int3"});
  EXPECT_EQ(result.exitCode, 2);
  EXPECT_THAT(result.err, HasSubstr("int3"));
}

}  // namespace
}  // namespace qccl::test
