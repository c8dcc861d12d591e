// Codes of int8 and the scale that they are relative to, one value at a time.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <ios>

#include "quant/block_scale.hpp"
#include "quant/codes.hpp"

namespace qccl::quant {
namespace {

using Int8 = IntCode<8>;

// The element with the block's largest magnitude. Every FP32 mantissa in the binades where the codec changes what it does, and a sample of
// the others.
TEST(Codec, TheLargestElementDecodesToWithinOneUlp) {
  const auto check = [](std::uint32_t bits) {
    const float a = floatFromBits(bits);
    const std::uint32_t scale = storedScale(qcclScaleFloat32, Int8::kMax, bits);
    const BlockEncoder encoder(qcclScaleFloat32, Int8::kMax, scale);
    const float code = Int8::value(Int8::nearest(encoder.scaled(a)));
    const auto decoded = static_cast<std::int64_t>(bitsOf(BlockDecoder(qcclScaleFloat32, Int8::kMax, scale).decode(code)));
    const std::int64_t ulps = std::abs(decoded - static_cast<std::int64_t>(scale));
    return code == 127.0f && Int8::value(Int8::nearest(encoder.scaled(-a))) == -127.0f && ulps <= 1 && decoded < kInfBits &&
           bits - scale <= 1;
  };
  for (const std::uint32_t exponent : {1u, 30u, 31u, 127u, 254u}) {
    for (std::uint32_t mantissa = 0; mantissa < (1u << 23); mantissa += exponent == 254 ? 1 : 7) {
      ASSERT_TRUE(check(exponent << 23 | mantissa)) << std::hex << (exponent << 23 | mantissa);
    }
  }
  for (std::uint32_t bits = 1; bits < kInfBits; bits += 1009) ASSERT_TRUE(check(bits)) << std::hex << bits;
  for (std::uint32_t bits = 1; bits < 5000; ++bits) ASSERT_TRUE(check(bits)) << std::hex << bits;
  EXPECT_TRUE(check(kInfBits - 1)) << "FLT_MAX";
  // Only FLT_MAX is stored as its neighbour.
  EXPECT_EQ(storedScale(qcclScaleFloat32, 127.0f, kInfBits - 1), kInfBits - 2);
  EXPECT_EQ(storedScale(qcclScaleFloat32, 127.0f, kInfBits - 2), kInfBits - 2);
  EXPECT_EQ(storedScale(qcclScaleFloat32, 127.0f, kInfBits - 3), kInfBits - 3);
}

TEST(Codec, StochasticRoundingGoesUpWithTheProbabilityOfTheFraction) {
  const auto stochastic = [](float y, float noise) { return Int8::value(Int8::stochastic(y, noise)); };
  for (int whole = -127; whole <= 127; ++whole) {
    for (const float noise : {0.0f, 0.5f, 1.0f - 0x1p-24f})
      EXPECT_EQ(stochastic(static_cast<float>(whole), noise), static_cast<float>(whole)) << noise;
  }
  EXPECT_EQ(stochastic(5.5f, 0.5f - 0x1p-24f), 6.0f);
  EXPECT_EQ(stochastic(5.5f, 0.5f), 5.0f);
  EXPECT_EQ(stochastic(-5.5f, 0.5f - 0x1p-24f), -5.0f);
  EXPECT_EQ(stochastic(-5.5f, 0.5f), -6.0f);
}

TEST(Codec, StochasticCodesStayWithin127) {
  int above = 0;
  for (std::uint32_t mantissa = 0; mantissa < 1000; ++mantissa) {
    const float a = floatFromBits(bitsOf(1.0f) | mantissa << 13);
    const float y = BlockEncoder(qcclScaleFloat32, 127.0f, bitsOf(a)).scaled(a);
    above += y > 127.0f ? 1 : 0;
    EXPECT_EQ(Int8::value(Int8::stochastic(y, 0.0f)), 127.0f) << a;
    EXPECT_EQ(Int8::value(Int8::stochastic(-y, 1.0f - 0x1p-24f)), -127.0f) << a;
  }
  EXPECT_GT(above, 10) << "no value of this test is scaled beyond 127";
}

}  // namespace
}  // namespace qccl::quant
