#include "optimizer/clip.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tiny_model.hpp"

namespace qccl::train {
namespace {

TEST(GradientNorm, IsTheRootOfTheSumOfSquares) {
  TinyModel model;
  double square = 0;
  for (const Parameter& p : model.parameters.list()) {
    const auto g = model.parameters.gradient(p);
    for (std::size_t i = 0; i < g.size(); ++i) {
      g[i] = static_cast<float>(i % 7) - 3.0F;
      square += static_cast<double>(g[i]) * static_cast<double>(g[i]);
    }
  }
  EXPECT_DOUBLE_EQ(gradientNorm(model.parameters), std::sqrt(square));
  model.parameters.zeroGradients();
  EXPECT_EQ(gradientNorm(model.parameters), 0);
}

TEST(GradientNorm, DoesNotOverflowOrVanish) {
  TinyModel model;
  float& g = model.parameters.gradient(model.parameters.list().front())[3];
  for (const float size : {1e30F, 1e-30F}) {
    g = size;
    EXPECT_NEAR(gradientNorm(model.parameters) / static_cast<double>(size), 1, 1e-12);
  }
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    g = bad;
    EXPECT_FALSE(std::isfinite(gradientNorm(model.parameters)));
  }
}

TEST(ClipFactor, BoundsTheNorm) {
  EXPECT_EQ(clipFactor(0.5, 1.0), 1);
  EXPECT_EQ(clipFactor(1.0, 1.0), 1);
  EXPECT_EQ(clipFactor(4.0, 1.0), 0.25);
  EXPECT_EQ(clipFactor(4.0, 0), 1);
  EXPECT_EQ(clipFactor(0, 1.0), 1);
  EXPECT_EQ(clipFactor(std::numeric_limits<double>::quiet_NaN(), 1.0), 0);
  EXPECT_EQ(clipFactor(std::numeric_limits<double>::infinity(), 0), 0);
}

}  // namespace
}  // namespace qccl::train
