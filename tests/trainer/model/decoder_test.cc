#include "model/decoder.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "formula.hpp"
#include "model/cpu/cpu_ops.hpp"
#include "model/error.hpp"
#include "support/models.hpp"

namespace qccl::train {
namespace {

class DecoderTest : public testing::Test {
 protected:
  DecoderTest() : ops_(makeCpuOps()), config_(test::smallModel()), model_(config_, *ops_), batch_(formula::batch(config_.vocab, 1, 128)) {
    formula::fill(model_.parameters());
  }

  // Logits after the last of the tokens, by the whole model.
  std::vector<float> whole(std::span<const std::int32_t> tokens) {
    const auto vocab = static_cast<std::size_t>(config_.vocab);
    std::vector<float> all(tokens.size() * vocab);
    model_.logits(tokens, 1, static_cast<std::int64_t>(tokens.size()), all);
    return {all.end() - static_cast<std::ptrdiff_t>(vocab), all.end()};
  }

  static void expectNear(std::span<const float> a, std::span<const float> b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 2e-5) << i;
  }

  std::unique_ptr<Ops> ops_;
  ModelConfig config_;
  Llama model_;
  formula::Batch batch_;
};

TEST_F(DecoderTest, CachedLogitsAreThoseOfTheWholePrefix) {
  Decoder decoder(model_, 128);
  const std::span<const std::int32_t> tokens = batch_.tokens;
  // A prompt, single tokens, and a piece longer than a block of queries.
  std::size_t at = 0;
  for (const std::size_t count : {5U, 1U, 1U, 80U, 1U, 40U}) {
    const auto logits = decoder.append(tokens.subspan(at, count));
    at += count;
    expectNear(logits, whole(tokens.first(at)));
  }
  EXPECT_EQ(decoder.length(), 128);
  EXPECT_THROW(decoder.append(tokens.first(1)), TrainError);
  decoder.reset();
  expectNear(decoder.append(tokens.first(3)), whole(tokens.first(3)));
}

TEST_F(DecoderTest, GreedyGenerationTakesTheMostProbableTokenEachTime) {
  std::vector<std::int32_t> expected(batch_.tokens.begin(), batch_.tokens.begin() + 4);
  for (int i = 0; i < 20; ++i) {
    const std::vector<float> logits = whole(expected);
    expected.push_back(static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
  }
  const auto prompt = std::span<const std::int32_t>(batch_.tokens).first(4);
  const std::vector<std::int32_t> chosen = generate(model_, prompt, 20, {.temperature = 0});
  EXPECT_EQ(chosen, std::vector<std::int32_t>(expected.begin() + 4, expected.end()));

  // Ends before the stop token, and when the caller has had enough.
  const auto stop = std::find(chosen.begin(), chosen.end(), chosen[5]) - chosen.begin();
  EXPECT_EQ(generate(model_, prompt, 20, {.temperature = 0}, chosen[5]).size(), static_cast<std::size_t>(stop));
  int seen = 0;
  EXPECT_EQ(generate(model_, prompt, 20, {.temperature = 0}, -1, [&](std::int32_t) { return ++seen < 3; }).size(), 3U);
}

TEST_F(DecoderTest, GeneratesBeyondTheModelsLength) {
  const auto prompt = std::span<const std::int32_t>(batch_.tokens).first(100);
  const SamplerOptions options{.temperature = 0.8, .topK = 20, .topP = 0.9, .seed = 3};
  const std::vector<std::int32_t> first = generate(model_, prompt, 150, options);
  EXPECT_EQ(first.size(), 150U);
  EXPECT_EQ(first, generate(model_, prompt, 150, options));
  SamplerOptions other = options;
  other.seed = 4;
  EXPECT_NE(first, generate(model_, prompt, 150, other));
}

TEST_F(DecoderTest, TakesAPromptLongerThanTheModel) {
  std::vector<std::int32_t> prompt;
  for (int i = 0; i < 300; ++i) prompt.push_back(static_cast<std::int32_t>(i % config_.vocab));
  EXPECT_EQ(generate(model_, prompt, 5, {}).size(), 5U);
  EXPECT_TRUE(generate(model_, prompt, 0, {}).empty());
  EXPECT_THROW(generate(model_, {}, 5, {}), TrainError);
}

TEST_F(DecoderTest, RefusesWhatDoesNotFit) {
  EXPECT_THROW(Decoder(model_, 0), TrainError);
  EXPECT_THROW(Decoder(model_, 129), TrainError);
  Decoder decoder(model_, 8);
  const std::vector<std::int32_t> bad = {61};
  EXPECT_THROW(decoder.append(bad), TrainError);
  EXPECT_THROW(decoder.append({}), TrainError);
}

}  // namespace
}  // namespace qccl::train
