// The formulas of the fused operators: the sigmoid against one in double precision, zeros.
#include "memory/fused_formulas.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace qccl::memory {
namespace {

double exactSigmoid(float x) { return 1.0 / (1.0 + std::exp(-static_cast<double>(x))); }

// The distance in units of the last place of the exact value, which is a normal number.
double ulpsOff(float value, double exact) {
  const double ulp = std::ldexp(1.0, std::ilogb(exact) - 23);
  return std::abs(static_cast<double>(value) - exact) / ulp;
}

// Every 211th float of either sign, from 2^-60 to the last whose sigmoid is a normal number; below that the sigmoid is 1/2.
TEST(FusedFormulas, TheSigmoidIsWithinItsBound) {
  double worst = 0;
  std::size_t seen = 0;
  for (std::uint32_t bits = bitsOf(0x1p-60f); bits < bitsOf(87.3f); bits += 211, ++seen) {
    for (const float x : {floatFromBits(bits), -floatFromBits(bits)}) worst = std::max(worst, ulpsOff(sigmoid(x), exactSigmoid(x)));
  }
  EXPECT_GT(seen, 2500000u);
  EXPECT_LE(worst, 2.9);
  RecordProperty("worst_ulps", std::to_string(worst));
}

TEST(FusedFormulas, TheSigmoidEndsInZeroAndOne) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(sigmoid(0.0f), 0.5f);
  EXPECT_EQ(sigmoid(-0.0f), 0.5f);
  for (const float x : {-87.69f, -89.0f, -1e4f, -3e38f, -kInfinity}) EXPECT_EQ(sigmoid(x), 0.0f) << x;
  for (const float x : {20.0f, 87.0f, 88.0f, 1e4f, 3e38f, kInfinity}) EXPECT_EQ(sigmoid(x), 1.0f) << x;
  // Where the value is no longer a normal number.
  for (float x = -87.4f; x > -87.67f; x -= 0.01f) EXPECT_NEAR(sigmoid(x) / exactSigmoid(x), 1, 1e-6) << x;
}

TEST(FusedFormulas, ANanReachesTheResults) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(swigluProduct(kNan, 1.0f)));
  EXPECT_TRUE(std::isnan(swigluProduct(1.0f, kNan)));
  const SwigluGradients d = swigluGradients(kNan, 1.0f, 1.0f);
  EXPECT_TRUE(std::isnan(d.product) && std::isnan(d.gate) && std::isnan(d.up));
  EXPECT_EQ(bitsOf(withOneNan(-kNan)), 0x7fffffffu);
  EXPECT_EQ(bitsOf(rstdOf(-1.0f, 1.0f, 0.0f)), 0x7fffffffu);
}

// Where all products are too small for FP32, a sum is -0 or +0 as there are leaves of zeros behind the last column or not.
TEST(FusedFormulas, MeansOfNothingHaveOneSign) {
  const float leaf = fmaf(-0x1p-100f, 0x1p-100f, 0.0f);
  ASSERT_EQ(bitsOf(leaf), 0x80000000u);
  EXPECT_EQ(bitsOf(meanOf(leaf + leaf, 8.0f)), 0u);
  EXPECT_EQ(bitsOf(meanOf(leaf + 0.0f, 4.0f)), 0u);
  EXPECT_EQ(meanOf(-3.0f, 4.0f), -0.75f);
}

}  // namespace
}  // namespace qccl::memory
