#include "model/llama.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "formula.hpp"
#include "model/cpu/cpu_ops.hpp"
#include "model/error.hpp"
#include "optimizer/adamw.hpp"
#include "optimizer/clip.hpp"
#include "support/models.hpp"
#include "support/sentence.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

struct Trained {
  float loss;
  std::vector<float> gradients;
};

Trained run(const ModelConfig& config, const formula::Batch& b, const LlamaOptions& options = {}) {
  const auto ops = makeCpuOps();
  Llama model(config, *ops, options);
  formula::fill(model.parameters());
  const float loss = model.forward(b.tokens, b.targets, b.batch, b.seqLen);
  model.backward(1.0F);
  const auto gradients = model.parameters().gradients();
  return {loss, {gradients.begin(), gradients.end()}};
}

double relativeError(std::span<const float> a, std::span<const float> b) {
  double error = 0, square = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    square += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(error / square);
}

TEST(Llama, SameSeedSameBits) {
  const ModelConfig config = test::smallModel();
  const formula::Batch b = formula::batch(config.vocab, 3, 40);
  const auto train = [&] {
    const auto ops = makeCpuOps();
    Llama model(config, *ops);
    model.parameters().initialize(7);
    AdamW optimizer(model.parameters(), {});
    std::vector<float> losses;
    for (int step = 0; step < 5; ++step) {
      model.parameters().zeroGradients();
      losses.push_back(model.forward(b.tokens, b.targets, b.batch, b.seqLen));
      model.backward(1.0F);
      optimizer.step(model.parameters(), 1e-2, clipFactor(gradientNorm(model.parameters()), 1.0));
    }
    const auto values = model.parameters().values();
    losses.insert(losses.end(), values.begin(), values.end());
    return losses;
  };
  const std::vector<float> first = train(), second = train();
  ASSERT_EQ(first.size(), second.size());
  EXPECT_EQ(std::memcmp(first.data(), second.data(), first.size() * sizeof(float)), 0);
}

TEST(Llama, MicroBatchesAddUpToTheWholeBatch) {
  const ModelConfig config = test::smallModel(true);
  formula::Batch b = formula::batch(config.vocab, 4, 25);
  // Equal weights need equally many targets in each micro-batch.
  for (std::size_t i = 0; i < b.targets.size(); ++i) b.targets[i] = b.tokens[(i + 1) % b.tokens.size()];
  const Trained whole = run(config, b);

  const auto ops = makeCpuOps();
  Llama model(config, *ops);
  formula::fill(model.parameters());
  double loss = 0;
  for (std::size_t part = 0; part < 4; ++part) {
    const auto tokens = std::span<const std::int32_t>(b.tokens).subspan(part * 25, 25);
    const auto targets = std::span<const std::int32_t>(b.targets).subspan(part * 25, 25);
    loss += static_cast<double>(model.forward(tokens, targets, 1, 25)) / 4;
    model.backward(0.25F);
  }
  EXPECT_NEAR(loss, static_cast<double>(whole.loss), 1e-5);
  EXPECT_LT(relativeError(model.parameters().gradients(), whole.gradients), 1e-5);
}

TEST(Llama, ChunkedLogitsGiveTheSameLossAndGradients) {
  const ModelConfig config = test::smallModel();
  const formula::Batch b = formula::batch(config.vocab, 2, 37);
  const Trained whole = run(config, b);
  for (const std::size_t rows : {1U, 10U, 73U}) {
    const Trained chunked = run(config, b, {.logitsBytes = rows * static_cast<std::size_t>(config.vocab) * sizeof(float)});
    EXPECT_NEAR(static_cast<double>(chunked.loss), static_cast<double>(whole.loss), 1e-6 * static_cast<double>(whole.loss)) << rows;
    EXPECT_LT(relativeError(chunked.gradients, whole.gradients), 1e-5) << rows;
  }
}

TEST(Llama, OverfitsOneBatch) {
  const ModelConfig config = test::smallModel(true);
  const formula::Batch b = formula::batch(config.vocab, 2, 24);
  const auto ops = makeCpuOps();
  Llama model(config, *ops);
  model.parameters().initialize(1);
  AdamW optimizer(model.parameters(), {.weightDecay = 0});
  const float first = model.forward(b.tokens, b.targets, b.batch, b.seqLen);
  EXPECT_NEAR(static_cast<double>(first), std::log(static_cast<double>(config.vocab)), 0.1);  // small random weights know nothing
  float last = first;
  for (int step = 0; step < 150; ++step) {
    model.parameters().zeroGradients();
    last = model.forward(b.tokens, b.targets, b.batch, b.seqLen);
    model.backward(1.0F);
    optimizer.step(model.parameters(), 1e-2, clipFactor(gradientNorm(model.parameters()), 1.0));
  }
  EXPECT_LT(last, 0.05F);
}

TEST(Llama, TellsWhenEachGradientIsFinal) {
  for (const bool tied : {false, true}) {
    const ModelConfig config = test::smallModel(tied);
    const formula::Batch b = formula::batch(config.vocab, 2, 11);
    const auto ops = makeCpuOps();
    Llama model(config, *ops);
    formula::fill(model.parameters());
    model.forward(b.tokens, b.targets, b.batch, b.seqLen);
    std::vector<std::string> order;
    std::vector<std::vector<float>> seen;
    model.backward(1.0F, [&](const Parameter& p) {
      order.push_back(p.name);
      const auto gradient = model.parameters().gradient(p);
      seen.emplace_back(gradient.begin(), gradient.end());
    });
    ASSERT_EQ(order.size(), model.parameters().list().size());
    EXPECT_EQ(std::set<std::string>(order.begin(), order.end()).size(), order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto gradient = model.parameters().gradient(model.parameters()[order[i]]);
      EXPECT_EQ(std::memcmp(gradient.data(), seen[i].data(), gradient.size_bytes()), 0) << order[i] << " changed after it was called final";
    }
    // Matrices and vectors each come in the order of their offsets, so that buckets fill from the front.
    for (const bool vectors : {false, true}) {
      std::size_t offset = 0;
      for (const std::string& name : order) {
        const Parameter& p = model.parameters()[name];
        if (p.is1D != vectors) continue;
        EXPECT_GE(p.offsetElems, offset) << name;
        offset = p.offsetElems;
      }
    }
  }
}

TEST(Llama, GradientsAccumulateAndScale) {
  const ModelConfig config = test::smallModel();
  const formula::Batch b = formula::batch(config.vocab, 1, 9);
  const Trained once = run(config, b);
  const auto ops = makeCpuOps();
  Llama model(config, *ops);
  formula::fill(model.parameters());
  for (int i = 0; i < 2; ++i) {
    model.forward(b.tokens, b.targets, b.batch, b.seqLen);
    model.backward(1.5F);
  }
  std::vector<float> thrice(once.gradients);
  for (float& g : thrice) g *= 3;
  EXPECT_LT(relativeError(model.parameters().gradients(), thrice), 1e-5);
  model.parameters().zeroGradients();
  for (const float g : model.parameters().gradients()) ASSERT_EQ(g, 0.0F);
}

TEST(Llama, NoCountedTargetGivesNoLossAndNoGradient) {
  const ModelConfig config = test::smallModel();
  formula::Batch b = formula::batch(config.vocab, 1, 9);
  std::fill(b.targets.begin(), b.targets.end(), kIgnoredTarget);
  const Trained result = run(config, b);
  EXPECT_EQ(result.loss, 0.0F);
  for (const float g : result.gradients) ASSERT_EQ(g, 0.0F);
}

TEST(Llama, LaterTokensDoNotChangeEarlierLogits) {
  const ModelConfig config = test::smallModel();
  const formula::Batch b = formula::batch(config.vocab, 1, 100);
  const auto ops = makeCpuOps();
  Llama model(config, *ops);
  formula::fill(model.parameters());
  const auto vocab = static_cast<std::size_t>(config.vocab);
  std::vector<float> logits(100 * vocab), changed(100 * vocab);
  model.logits(b.tokens, 1, 100, logits);
  std::vector<std::int32_t> tokens = b.tokens;
  for (std::size_t i = 70; i < 100; ++i) tokens[i] = (tokens[i] + 1) % static_cast<std::int32_t>(config.vocab);
  model.logits(tokens, 1, 100, changed);
  EXPECT_EQ(std::memcmp(logits.data(), changed.data(), 70 * vocab * sizeof(float)), 0);
  EXPECT_GT(relativeError(std::span(changed).subspan(70 * vocab), std::span(logits).subspan(70 * vocab)), 1e-3);
}

TEST(Llama, ANonFiniteWeightShowsInTheLoss) {
  const ModelConfig config = test::smallModel();
  const formula::Batch b = formula::batch(config.vocab, 1, 20);
  for (const char* name :
       {"model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.gate_proj.weight", "lm_head.weight", "model.norm.weight"}) {
    const auto ops = makeCpuOps();
    Llama model(config, *ops);
    formula::fill(model.parameters());
    for (float& w : model.parameters().value(model.parameters()[name])) w = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(model.forward(b.tokens, b.targets, b.batch, b.seqLen))) << name;
    model.backward(1.0F);
    EXPECT_FALSE(std::isfinite(gradientNorm(model.parameters()))) << name;
  }
}

TEST(Llama, MemoryIsTakenOnceForAShape) {
  const ModelConfig config = test::smallModel();
  const auto ops = makeCpuOps();
  Llama model(config, *ops);
  EXPECT_EQ(model.activationBytes(), 0U);
  const formula::Batch big = formula::batch(config.vocab, 2, 32), small = formula::batch(config.vocab, 1, 8);
  model.forward(big.tokens, big.targets, 2, 32);
  const std::size_t bytes = model.activationBytes();
  EXPECT_GE(bytes, static_cast<std::size_t>(config.layers * 64 * Activations::savedElemsPerRow(config)) * sizeof(float));
  model.forward(small.tokens, small.targets, 1, 8);
  model.forward(big.tokens, big.targets, 2, 32);
  EXPECT_EQ(model.activationBytes(), bytes);
}

TEST(Llama, RefusesWhatDoesNotFit) {
  const ModelConfig config = test::smallModel();
  const auto ops = makeCpuOps();
  Llama model(config, *ops);
  const std::vector<std::int32_t> two = {1, 2}, bad = {1, 61}, negative = {-1, 0};
  std::vector<float> room(10);
  EXPECT_THAT(test::sentenceOf([&] { model.forward(two, two, 1, 3); }), HasSubstr("2 tokens"));
  EXPECT_THAT(test::sentenceOf([&] { model.forward(two, two, 1, 129); }), HasSubstr("128"));
  EXPECT_THAT(test::sentenceOf([&] { model.forward(bad, two, 1, 2); }), HasSubstr("token 61"));
  EXPECT_THAT(test::sentenceOf([&] { model.forward(negative, two, 1, 2); }), HasSubstr("token -1"));
  EXPECT_THAT(test::sentenceOf([&] { model.forward(two, bad, 1, 2); }), HasSubstr("target 61"));
  EXPECT_THAT(test::sentenceOf([&] { model.forward(two, std::span(two).first(1), 1, 2); }), HasSubstr("1 targets"));
  EXPECT_THAT(test::sentenceOf([&] { model.backward(1.0F); }), HasSubstr("without a forward"));
  EXPECT_THAT(test::sentenceOf([&] { model.logits(two, 1, 2, room); }), HasSubstr("122"));
  model.forward(two, two, 1, 2);
  model.backward(1.0F);
  EXPECT_THAT(test::sentenceOf([&] { model.backward(1.0F); }), HasSubstr("without a forward"));
}

}  // namespace
}  // namespace qccl::train
