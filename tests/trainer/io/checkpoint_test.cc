#include "io/checkpoint.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "model/cpu/cpu_ops.hpp"
#include "model/error.hpp"
#include "model/llama.hpp"
#include "support/models.hpp"
#include "support/sentence.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

bool sameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

class Checkpoint : public testing::TestWithParam<bool> {
 protected:
  Checkpoint() : ops_(makeCpuOps()), config_(test::smallModel(GetParam())), parameters_(config_, *ops_), loaded_(config_, *ops_) {
    parameters_.initialize(3);
  }

  // One training-like step, so that moments are not zero.
  void step(AdamW& optimizer) {
    for (const Parameter& p : parameters_.list()) {
      const auto g = parameters_.gradient(p);
      for (std::size_t i = 0; i < g.size(); ++i) g[i] = static_cast<float>(i % 5) - 2.0F;
    }
    optimizer.step(parameters_, 0.01);
  }

  test::TemporaryFolder folder_;
  std::unique_ptr<Ops> ops_;
  ModelConfig config_;
  Parameters parameters_, loaded_;
};

TEST_P(Checkpoint, ModelComesBackBitForBit) {
  const std::string path = folder_.path("new/model");
  saveModel(path, config_, parameters_);
  EXPECT_EQ(loadConfig(path), config_);
  loadModel(path, loaded_);
  EXPECT_TRUE(sameBits(loaded_.values(), parameters_.values()));
  EXPECT_EQ(SafetensorsFile(path + "/model.safetensors").has("lm_head.weight"), !GetParam());
}

TEST_P(Checkpoint, SixteenBitsAreRoundedWeights) {
  saveModel(folder_.path(), config_, parameters_, TensorType::kBF16);
  loadModel(folder_.path(), loaded_);
  for (std::size_t i = 0; i < loaded_.arenaElems(); ++i) {
    ASSERT_NEAR(loaded_.values()[i], parameters_.values()[i], std::abs(parameters_.values()[i]) / 256);
  }
}

TEST_P(Checkpoint, OptimizerComesBackBitForBitAndGoesOnAlike) {
  AdamW optimizer(parameters_, {});
  for (int i = 0; i < 3; ++i) step(optimizer);
  saveModel(folder_.path(), config_, parameters_);
  saveOptimizer(folder_.path(), parameters_, optimizer);

  loadModel(folder_.path(), loaded_);
  AdamW resumed(loaded_, {});
  loadOptimizer(folder_.path(), loaded_, resumed);
  EXPECT_EQ(resumed.steps(), 3);
  EXPECT_TRUE(sameBits(resumed.firstMoment(), optimizer.firstMoment()));
  EXPECT_TRUE(sameBits(resumed.secondMoment(), optimizer.secondMoment()));
  step(optimizer);
  std::copy(parameters_.gradients().begin(), parameters_.gradients().end(), loaded_.gradients().begin());
  resumed.step(loaded_, 0.01);
  EXPECT_TRUE(sameBits(loaded_.values(), parameters_.values()));
}

TEST_P(Checkpoint, ReadsWeightsInSeveralFiles) {
  nlohmann::json index = {{"metadata", {{"total_size", 0}}}};
  std::vector<TensorSource> shards[2];
  int which = 0;
  for (const Parameter& p : parameters_.list()) {
    const int shard = which++ % 2;
    shards[shard].push_back({p.name, p.shape, parameters_.value(p)});
    index["weight_map"][p.name] = "part-" + std::to_string(shard) + ".safetensors";
  }
  for (const int shard : {0, 1}) writeSafetensors(folder_.path("part-" + std::to_string(shard) + ".safetensors"), shards[shard]);
  test::writeFile(folder_.path("model.safetensors.index.json"), index.dump());
  loadModel(folder_.path(), loaded_);
  EXPECT_TRUE(sameBits(loaded_.values(), parameters_.values()));

  index["weight_map"]["model.norm.weight"] = "../part-0.safetensors";
  test::writeFile(folder_.path("model.safetensors.index.json"), index.dump());
  EXPECT_THAT(test::sentenceOf([&] { loadModel(folder_.path(), loaded_); }), HasSubstr("not a file name"));
  index["weight_map"].erase("model.norm.weight");
  test::writeFile(folder_.path("model.safetensors.index.json"), index.dump());
  EXPECT_THAT(test::sentenceOf([&] { loadModel(folder_.path(), loaded_); }), HasSubstr("model.norm.weight"));
  test::writeFile(folder_.path("model.safetensors.index.json"), "[]");
  EXPECT_THAT(test::sentenceOf([&] { loadModel(folder_.path(), loaded_); }), HasSubstr("weight_map"));
}

TEST_P(Checkpoint, RefusesAnotherModelsWeights) {
  EXPECT_THAT(test::sentenceOf([&] { loadModel(folder_.path(), loaded_); }), HasSubstr("model.safetensors"));
  EXPECT_THAT(test::sentenceOf([&] { loadConfig(folder_.path()); }), HasSubstr("config.json"));
  saveModel(folder_.path(), config_, parameters_);
  ModelConfig wider = config_;
  wider.ffn = 38;
  Parameters other(wider, *ops_);
  EXPECT_THAT(test::sentenceOf([&] { loadModel(folder_.path(), other); }), HasSubstr("(24, 37); the model needs (24, 38)"));
  ModelConfig deeper = config_;
  deeper.layers = 3;
  Parameters more(deeper, *ops_);
  EXPECT_THAT(test::sentenceOf([&] { loadModel(folder_.path(), more); }), HasSubstr("model.layers.2."));
}

TEST_P(Checkpoint, RefusesAnOptimizerWithoutItsSteps) {
  AdamW optimizer(parameters_, {});
  for (const char* steps : {"", "x", "12x", "-3"}) {
    writeSafetensors(folder_.path("optimizer.safetensors"), {}, {{"steps", steps}});
    EXPECT_THAT(test::sentenceOf([&] { loadOptimizer(folder_.path(), parameters_, optimizer); }), HasSubstr("how many steps")) << steps;
  }
}

INSTANTIATE_TEST_SUITE_P(Heads, Checkpoint, testing::Bool(), [](const auto& p) { return p.param ? "Tied" : "Untied"; });

}  // namespace
}  // namespace qccl::train
