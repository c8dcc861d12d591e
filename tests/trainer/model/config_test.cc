#include "model/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>

#include "formula.hpp"
#include "model/error.hpp"
#include "model/rope.hpp"
#include "support/models.hpp"
#include "support/sentence.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

TEST(ModelConfig, SurvivesItsOwnJson) {
  ModelConfig config = test::smallModel(true);
  config.ropeTheta = 500000;
  config.normEps = 1e-6;
  config.bosToken = 1;
  EXPECT_EQ(ModelConfig::fromJson(config.toJson()), config);
  config.ropeScaling = {.kind = RopeScaling::Kind::kLinear, .factor = 2.5};
  EXPECT_EQ(ModelConfig::fromJson(config.toJson()), config);
  config.ropeScaling = {.kind = RopeScaling::Kind::kLlama3, .factor = 8, .lowFreqFactor = 1, .highFreqFactor = 4, .originalMaxSeq = 8192};
  EXPECT_EQ(ModelConfig::fromJson(config.toJson()), config);
}

const char* const kMinimal =
    R"({"vocab_size": 100, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4)";

TEST(ModelConfig, FillsInWhatHuggingFaceFillsIn) {
  const ModelConfig config = ModelConfig::fromJson(std::string(kMinimal) + "}");
  EXPECT_EQ(config.kvHeads, 4);
  EXPECT_EQ(config.headDim, 16);
  EXPECT_EQ(config.maxSeq, 2048);
  EXPECT_EQ(config.ropeTheta, 10000);
  EXPECT_EQ(config.normEps, 1e-6);
  EXPECT_FALSE(config.tied);
}

TEST(ModelConfig, ReadsBothSpellingsOfTheRope) {
  const ModelConfig old =
      ModelConfig::fromJson(std::string(kMinimal) + R"(, "rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}})");
  const ModelConfig now = ModelConfig::fromJson(std::string(kMinimal) +
                                                R"(, "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500000.0}})");
  EXPECT_EQ(old, now);
  EXPECT_EQ(old.ropeScaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_EQ(old.ropeTheta, 500000);
}

TEST(ModelConfig, RefusesWhatWouldComputeSomethingElse) {
  const auto refuse = [](const std::string& extra) {
    return test::sentenceOf([&] { ModelConfig::fromJson(std::string(kMinimal) + extra + "}"); });
  };
  EXPECT_THAT(refuse(R"(, "model_type": "qwen2")"), HasSubstr("qwen2"));
  EXPECT_THAT(refuse(R"(, "architectures": ["MistralForCausalLM"])"), HasSubstr("MistralForCausalLM"));
  EXPECT_THAT(refuse(R"(, "hidden_act": "gelu")"), HasSubstr("gelu"));
  EXPECT_THAT(refuse(R"(, "attention_bias": true)"), HasSubstr("attention_bias"));
  EXPECT_THAT(refuse(R"(, "mlp_bias": true)"), HasSubstr("mlp_bias"));
  EXPECT_THAT(refuse(R"(, "rope_scaling": {"rope_type": "yarn", "factor": 2})"), HasSubstr("yarn"));
  EXPECT_THAT(refuse(R"(, "rope_scaling": {"rope_type": "linear"})"), HasSubstr("factor"));
  EXPECT_THAT(refuse(R"(, "rope_scaling": 3)"), HasSubstr("object"));
  EXPECT_THAT(refuse(R"(, "num_key_value_heads": 3)"), HasSubstr("divide"));
  EXPECT_THAT(refuse(R"(, "head_dim": 7)"), HasSubstr("headDim"));
  EXPECT_THAT(refuse(R"(, "rms_norm_eps": -1)"), HasSubstr("normEps"));
  EXPECT_THAT(refuse(R"(, "rope_theta": "x")"), HasSubstr("rope_theta"));
  EXPECT_THAT(refuse(R"(, "tie_word_embeddings": 1)"), HasSubstr("tie_word_embeddings"));
  EXPECT_THAT(refuse(R"(, "max_position_embeddings": 1.5)"), HasSubstr("max_position_embeddings"));
  EXPECT_THAT(refuse(R"(, "max_position_embeddings": 18446744073709551615)"), HasSubstr("too large"));
  EXPECT_THAT(test::sentenceOf([] { ModelConfig::fromJson(R"({"vocab_size": 5})"); }), HasSubstr("hidden_size"));
  EXPECT_THAT(test::sentenceOf([] { ModelConfig::fromJson("[1]"); }), HasSubstr("object"));
  EXPECT_THAT(test::sentenceOf([] { ModelConfig::fromJson("{"); }), HasSubstr("valid JSON"));
  EXPECT_THAT(test::sentenceOf([] { ModelConfig::load("/nonexistent/config.json"); }), HasSubstr("/nonexistent/config.json"));
}

TEST(ModelConfig, ValidatesEachSize) {
  for (std::int64_t ModelConfig::*field : {&ModelConfig::vocab, &ModelConfig::hidden, &ModelConfig::ffn, &ModelConfig::layers,
                                           &ModelConfig::heads, &ModelConfig::kvHeads, &ModelConfig::headDim, &ModelConfig::maxSeq}) {
    for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-4}, std::int64_t{1} << 40}) {
      ModelConfig config = test::smallModel();
      config.*field = value;
      EXPECT_THROW(config.validate(), TrainError) << value;
    }
  }
}

// Counts of published models.
TEST(ModelConfig, CountsParameters) {
  ModelConfig config = test::llama3Of8B();
  EXPECT_EQ(config.parameterCount(), 8030261248);
  EXPECT_NEAR(config.trainFlopsPerToken(8192) / 1e9, 51.47, 0.01);
  config.vocab = 49152;
  config.hidden = 576;
  config.ffn = 1536;
  config.layers = 30;
  config.heads = 9;
  config.kvHeads = 3;
  config.headDim = 64;
  config.tied = true;
  EXPECT_EQ(config.parameterCount(), 134515008);
}

TEST(Rope, FrequenciesFollowTheFormulas) {
  ModelConfig config = test::smallModel();
  config.headDim = 16;
  const std::vector<float> plain = ropeFrequencies(config);
  ASSERT_EQ(plain.size(), 8U);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(plain[i], static_cast<float>(std::pow(10000.0, -static_cast<double>(i) / 8)));

  config.ropeScaling = {.kind = RopeScaling::Kind::kLinear, .factor = 4};
  const std::vector<float> linear = ropeFrequencies(config);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(linear[i], plain[i] / 4);

  config.ropeScaling = {.kind = RopeScaling::Kind::kLlama3, .factor = 8, .lowFreqFactor = 1, .highFreqFactor = 4, .originalMaxSeq = 256};
  const std::vector<float> stretched = ropeFrequencies(config);
  int kept = 0, divided = 0, blended = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    const double wavelength = 2 * std::numbers::pi / static_cast<double>(plain[i]);
    if (wavelength < 64) {
      EXPECT_EQ(stretched[i], plain[i]);
      ++kept;
    } else if (wavelength > 256) {
      EXPECT_FLOAT_EQ(stretched[i], plain[i] / 8);
      ++divided;
    } else {
      EXPECT_LT(stretched[i], plain[i]);
      EXPECT_GT(stretched[i], plain[i] / 8);
      ++blended;
    }
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(divided, 0);
  EXPECT_GT(blended, 0);
}

}  // namespace
}  // namespace qccl::train
