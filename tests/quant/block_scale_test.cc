#include "quant/block_scale.hpp"

#include <gtest/gtest.h>

#include "quant/codes.hpp"

namespace qccl::quant {
namespace {

// The compiler must not turn the division into something else.
template <typename Code>
void expectQuotients(int exponent) {
  const volatile float divisor = Code::kMax;
  std::uint32_t wrong = 0;
  for (std::uint32_t mantissa = 0; mantissa < 1u << 23; ++mantissa) {
    const float x = floatFromBits((static_cast<std::uint32_t>(exponent) + 127u) << 23 | mantissa);
    wrong += bitsOf(dividedBy(x, Code::kMax)) != bitsOf(x / divisor) ? 1 : 0;
  }
  EXPECT_EQ(wrong, 0u) << "by " << Code::kMax << " at 2^" << exponent;
}

TEST(BlockScale, DividedByIsTheQuotientForEveryMantissa) {
  expectQuotients<IntCode<8>>(0);
  expectQuotients<IntCode<6>>(0);
  expectQuotients<IntCode<5>>(0);
  expectQuotients<IntCode<4>>(0);
  expectQuotients<Fp8E4m3Code>(0);
  expectQuotients<Fp8E5m2Code>(0);
  expectQuotients<Fp4E2m1Code>(0);
}

TEST(BlockScale, DividedByIsTheQuotientAtTheEndsOfItsRange) {
  expectQuotients<IntCode<8>>(-96);
  expectQuotients<Fp8E5m2Code>(-96);
  expectQuotients<IntCode<8>>(127);
  expectQuotients<Fp4E2m1Code>(127);
  EXPECT_EQ(bitsOf(dividedBy(0.0f, 127.0f)), 0u);
}

void expectSameDecoder(qcclScale_t scale, std::uint32_t stored, float maxCode) {
  const BlockDecoder oracle(scale, maxCode, stored);
  const BlockDecoder fast = fastBlockDecoder(scaleValue(scale, stored), maxCode);
  ASSERT_EQ(bitsOf(fast.multiplier), bitsOf(oracle.multiplier)) << "scale " << std::hex << stored << " of codes up to " << maxCode;
  ASSERT_EQ(bitsOf(fast.post), bitsOf(oracle.post));
}

TEST(BlockScale, TheFastDecoderIsTheOraclesForAnyScale) {
  for (const float maxCode : {IntCode<8>::kMax, IntCode<4>::kMax, Fp8E4m3Code::kMax, Fp4E2m1Code::kMax}) {
    for (std::uint32_t stored = 0; stored <= 0xffff; ++stored) expectSameDecoder(qcclScaleBfloat16, stored, maxCode);
    for (std::uint32_t step = 0; step < 1u << 20; ++step)
      expectSameDecoder(qcclScaleFloat32, step * 4093u, maxCode);  // all exponents, both signs
  }
}

}  // namespace
}  // namespace qccl::quant
