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

}  // namespace
}  // namespace qccl::quant
