#include "activations/planned_tensors.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <sstream>

#include "support/models.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kRows = 8192;

ActivationPlan plan(const std::string& text) { return parseActivationPlan(text, 128, "bfloat16"); }

std::uint64_t bytesOf(const std::vector<PlannedTensor>& tensors) {
  return std::accumulate(tensors.begin(), tensors.end(), std::uint64_t{0}, [](std::uint64_t sum, const auto& t) { return sum + t.bytes; });
}

TEST(PlannedTensors, ErrorsAreThoseOfRounding) {
  const auto errorOf = [](const char* name) { return expectedError(plan(name).formatOf(0, 0)); };
  EXPECT_EQ(errorOf("exact"), 0);
  // The largest of 128 normal values is 2.75 times their root mean square, on average over blocks; steps are a 7th of it.
  EXPECT_NEAR(errorOf("int4"), 2.8 / 7 / std::sqrt(12.0), 0.005);
  EXPECT_NEAR(errorOf("int8") / errorOf("int4"), 7.0 / 127, 0.001);
  EXPECT_NEAR(errorOf("int6") / errorOf("int5"), 15.0 / 31, 0.01);
  EXPECT_GT(errorOf("fp8"), 3 * errorOf("int8"));
  EXPECT_LT(errorOf("bf16"), errorOf("int8") / 3);
}

TEST(PlannedTensors, OfAPipelineAddUpToItsStages) {
  const ModelConfig config = test::llama3Of8B();
  const PipelineShape pipeline{.stages = 4, .chunks = 2, .microBatches = 8, .rows = kRows};
  const auto stages = planStages(config, pipeline, plan("mixed"));
  const auto tensors = plannedTensors(config, kRows, plan("mixed"), pipeline, stages);
  std::vector<std::uint64_t> bytes(4);
  std::vector<std::set<std::int64_t>> layers(4);
  for (const PlannedTensor& tensor : tensors) {
    bytes[static_cast<std::size_t>(tensor.stage)] += tensor.bytes;
    layers[static_cast<std::size_t>(tensor.stage)].insert(tensor.layer);
  }
  EXPECT_EQ(tensors.size(), 32 * kSavedKinds.size());
  for (std::size_t s = 0; s < 4; ++s) EXPECT_EQ(bytes[s], 2 * stages[s].chunkBytes) << s;
  EXPECT_THAT(layers[1], testing::ElementsAre(4, 5, 6, 7, 20, 21, 22, 23));
}

TEST(PlannedTensors, LayersThatAreAlikeAreOneRow) {
  const auto tensors = plannedTensors(test::llama3Of8B(), kRows, plan("gate=fp4,rest=8"));
  const std::string table = tensorTable(tensors, false);
  EXPECT_THAT(table, HasSubstr("    0  0-31            gate   fp4e2m1/128/bfloat16"));
  EXPECT_THAT(table, HasSubstr(std::to_string(bytesOf(tensors))));
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 10);
  double squares = 0, elems = 0;
  for (const PlannedTensor& t : tensors) {
    squares += static_cast<double>(t.elems) * t.error * t.error;
    elems += static_cast<double>(t.elems);
  }
  char error[32];
  std::snprintf(error, sizeof(error), "%.5f\n", std::sqrt(squares / elems));
  EXPECT_THAT(table, testing::EndsWith(error));
}

TEST(PlannedTensors, OfASolvedPlanHaveWhatWasMeasured) {
  ModelConfig config = test::llama3Of8B();
  config.layers = 2;
  const ActivationPlan like = plan("exact");
  std::vector<Sensitivity> measured;
  for (std::size_t layer = 0; layer < 2; ++layer) {
    for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) {
      Sensitivity each{layer, kind, {}};
      for (const int bits : kPlannedBits) {
        each.choices.push_back({bits, storedBytes(kRows * savedWidth(kind, config), bits, like),
                                static_cast<double>(1 + kind + 10 * layer) * std::exp2(-2 * bits)});
      }
      measured.push_back(each);
    }
  }
  const SolvedPlan solved = solvePlan(measured, config, 600'000'000, like);
  const auto tensors = plannedTensors(config, kRows, solved, measured);
  EXPECT_EQ(bytesOf(tensors), solved.bytes);
  double squares = 0;
  for (const PlannedTensor& tensor : tensors) squares += tensor.error * tensor.error;
  EXPECT_NEAR(squares, solved.predictedError, 1e-9 * solved.predictedError);
}

TEST(PlannedTensors, HaveALineOfJsonEach) {
  const auto tensors = plannedTensors(test::llama3Of8B(), kRows, plan("mixed"));
  std::istringstream lines(tensorLines(tensors));
  std::uint64_t bytes = 0;
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto row = nlohmann::json::parse(line);
    bytes += row.at("bytes").get<std::uint64_t>();
    EXPECT_EQ(row.at("bits"), row.at("saved") == "q" || row.at("saved") == "k" || row.at("saved") == "v" || row.at("saved") == "o" ? 8 : 4);
  }
  EXPECT_EQ(count, tensors.size());
  EXPECT_EQ(bytes, bytesOf(tensors));
}

}  // namespace
}  // namespace qccl::train
