// Backward against central differences of forward.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "formula.hpp"
#include "model/cpu/cpu_ops.hpp"
#include "model/llama.hpp"
#include "support/models.hpp"

namespace qccl::train {
namespace {

// A loss of about 5 in FP32 is exact to 3e-7 or so; over 2 * 5e-3 that is 3e-5 in a difference quotient, and the step's own error is of the
// same size.
constexpr float kStep = 5e-3F;
constexpr double kAbsolute = 2e-4;
constexpr double kRelative = 0.01;

class Gradient : public testing::TestWithParam<bool> {
 protected:
  Gradient()
      : ops_(makeCpuOps()), config_(test::smallModel(GetParam())), model_(config_, *ops_), batch_(formula::batch(config_.vocab, 2, 19)) {
    formula::fill(model_.parameters());
  }

  double loss() { return static_cast<double>(model_.forward(batch_.tokens, batch_.targets, batch_.batch, batch_.seqLen)); }

  std::unique_ptr<Ops> ops_;
  ModelConfig config_;
  Llama model_;
  formula::Batch batch_;
};

TEST_P(Gradient, OfSingleWeightsIsTheDifferenceQuotient) {
  loss();
  model_.backward(1.0F);
  for (const Parameter& p : model_.parameters().list()) {
    const std::span<float> values = model_.parameters().value(p);
    const std::span<const float> gradient = model_.parameters().gradient(p);
    // The two steepest, and four that the formula picks.
    std::vector<std::size_t> sampled(p.elems);
    std::iota(sampled.begin(), sampled.end(), 0);
    std::partial_sort(sampled.begin(), sampled.begin() + 2, sampled.end(),
                      [&](std::size_t a, std::size_t b) { return std::abs(gradient[a]) > std::abs(gradient[b]); });
    sampled.resize(2);
    for (std::uint64_t i = 0; i < 4; ++i)
      sampled.push_back(static_cast<std::size_t>(formula::u("pick", i) * static_cast<float>(p.elems - 1)));
    for (const std::size_t i : sampled) {
      const float before = values[i];
      values[i] = before + kStep;
      const float high = values[i];
      const double above = loss();
      values[i] = before - kStep;
      const double width = static_cast<double>(high) - static_cast<double>(values[i]);
      const double below = loss();
      values[i] = before;
      const double expected = (above - below) / width;
      EXPECT_NEAR(static_cast<double>(gradient[i]), expected, kAbsolute + kRelative * std::abs(expected)) << p.name << " element " << i;
    }
  }
}

// Along the gradient itself the loss rises by the gradient's norm: one quotient that every element of a tensor enters.
TEST_P(Gradient, OfWholeTensorsIsTheDifferenceQuotient) {
  loss();
  model_.backward(1.0F);
  for (const Parameter& p : model_.parameters().list()) {
    const std::span<float> values = model_.parameters().value(p);
    const std::span<const float> gradient = model_.parameters().gradient(p);
    double square = 0;
    for (const float g : gradient) square += static_cast<double>(g) * static_cast<double>(g);
    const double norm = std::sqrt(square);
    ASSERT_GT(norm, 1e-4) << p.name;
    const std::vector<float> before(values.begin(), values.end());
    constexpr double kLength = 2e-2;
    const auto moved = [&](double along) {
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = before[i] + static_cast<float>(along * static_cast<double>(gradient[i]) / norm);
      return loss();
    };
    const double quotient = (moved(kLength) - moved(-kLength)) / (2 * kLength);
    std::copy(before.begin(), before.end(), values.begin());
    EXPECT_NEAR(quotient, norm, 1e-4 + 5e-3 * norm) << p.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Heads, Gradient, testing::Bool(), [](const auto& p) { return p.param ? "Tied" : "Untied"; });

}  // namespace
}  // namespace qccl::train
