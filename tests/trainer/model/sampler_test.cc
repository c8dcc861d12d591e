#include "model/sampler.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "model/error.hpp"

namespace qccl::train {
namespace {

const std::vector<float> kLogits = {0.5F, 2.0F, -1.0F, 1.0F, 2.0F, -3.0F};

std::map<std::int32_t, double> frequencies(const SamplerOptions& options, int draws) {
  Sampler sampler(options);
  std::map<std::int32_t, double> counts;
  for (int i = 0; i < draws; ++i) counts[sampler.next(kLogits)] += 1.0 / draws;
  return counts;
}

TEST(Sampler, ZeroTemperatureTakesTheFirstOfTheMostProbable) {
  Sampler sampler({.temperature = 0, .topK = 3, .topP = 0.5});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(sampler.next(kLogits), 1);
}

TEST(Sampler, FrequenciesAreThoseOfTheSoftmax) {
  for (const double temperature : {0.7, 1.0, 2.0}) {
    double total = 0;
    for (const float x : kLogits) total += std::exp(static_cast<double>(x) / temperature);
    constexpr int kDraws = 40000;
    auto counts = frequencies({.temperature = temperature, .seed = 5}, kDraws);
    for (std::size_t i = 0; i < kLogits.size(); ++i) {
      const double p = std::exp(static_cast<double>(kLogits[i]) / temperature) / total;
      EXPECT_NEAR(counts[static_cast<std::int32_t>(i)], p, 5 * std::sqrt(p * (1 - p) / kDraws))
          << "token " << i;  // five standard deviations, fixed seed
    }
  }
}

TEST(Sampler, TopKKeepsTheMostProbable) {
  const auto counts = frequencies({.topK = 3, .seed = 6}, 5000);
  EXPECT_EQ(counts.size(), 3U);
  for (const auto& [token, share] : counts) EXPECT_TRUE(token == 1 || token == 4 || token == 3) << token;
  EXPECT_EQ(frequencies({.topK = 1, .seed = 6}, 50).size(), 1U);
  EXPECT_EQ(frequencies({.topK = 100, .seed = 6}, 20000).size(), 6U);
}

TEST(Sampler, TopPKeepsTheSmallestSetThatHoldsIt) {
  // Probabilities 0.377 0.377 0.139 0.084 0.019 0.003: two hold 0.755, three 0.893.
  EXPECT_EQ(frequencies({.topP = 0.7, .seed = 7}, 5000).size(), 2U);
  EXPECT_EQ(frequencies({.topP = 0.8, .seed = 7}, 5000).size(), 3U);
  EXPECT_EQ(frequencies({.topP = 1e-9, .seed = 7}, 50).size(), 1U);
  // Of what top-k left: of two tokens with one half each, one holds 0.4.
  EXPECT_EQ(frequencies({.topK = 2, .topP = 0.4, .seed = 7}, 200).size(), 1U);
}

TEST(Sampler, SeedsDecide) {
  const auto draw = [](std::uint64_t seed) {
    Sampler sampler({.seed = seed});
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < 50; ++i) tokens.push_back(sampler.next(kLogits));
    return tokens;
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
}

TEST(Sampler, RefusesBadOptionsAndLogits) {
  EXPECT_THROW(Sampler({.temperature = -1}), TrainError);
  EXPECT_THROW(Sampler({.topK = -1}), TrainError);
  EXPECT_THROW(Sampler({.topP = 0}), TrainError);
  EXPECT_THROW(Sampler({.topP = 1.5}), TrainError);
  Sampler sampler({});
  const std::vector<float> bad = {0.0F, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THROW(sampler.next(bad), TrainError);
  EXPECT_THROW(sampler.next({}), TrainError);
}

}  // namespace
}  // namespace qccl::train
