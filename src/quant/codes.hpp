// Codes: what a value becomes once it is scaled so that the block's largest magnitude is the largest code. The scalar definition, once, for
// host and device, in operations that every instruction set has, so that compilers can vectorize it.
//
// A Code is a type with
//     kBits              bits of a code in the planes of wire_format.hpp
//     kMax               the largest value of a code
//     nearest(y)         the code of y, |y| <= kMax but for a rounding error, to nearest, ties to even
//     stochastic(y, u)   up or down by the noise u in [0, 1): away from the next code below |y| (integers: y) if u is less than y's
//     distance value(code)        the value of a code
// A code is held in a byte: integers sign-extended, the others with zeros above. The sign of a zero is not kept.
#pragma once

#include <cstdint>

#include "quant/float_formats.hpp"
#include "quant/wire_format.hpp"

namespace qccl::quant {

// Integers from -kMax to kMax in two's complement.
template <int kCodeBits>
struct IntCode {
  static constexpr int kBits = kCodeBits;
  static constexpr bool kIsInteger = true;
  static constexpr int kMaxInt = (1 << (kBits - 1)) - 1;
  static constexpr float kMax = static_cast<float>(kMaxInt);

  // Adding 1.5 * 2^23 rounds a value of magnitude below 2^22 to nearest even and leaves it, in two's complement, in the low bits.
  static QCCL_HD std::uint8_t nearest(float y) { return static_cast<std::uint8_t>(bitsOf(y + 0x1.8p23f)); }

  // Floor by conversion, which truncates. Values beyond kMax by a rounding error stay at kMax.
  static QCCL_HD std::uint8_t stochastic(float y, float noise) {
    const int truncated = static_cast<int>(y);
    const int below = truncated - (static_cast<float>(truncated) > y ? 1 : 0);
    const int q = below + (noise < y - static_cast<float>(below) ? 1 : 0);
    const int notAbove = q > kMaxInt ? kMaxInt : q;
    return static_cast<std::uint8_t>(notAbove < -kMaxInt ? -kMaxInt : notAbove);
  }

  static QCCL_HD float value(std::uint8_t code) { return static_cast<float>(static_cast<std::int8_t>(code)); }
};

// Sign and magnitude, the magnitude a MiniFloat.
template <int kCodeBits, typename Magnitude, std::uint32_t kMaxMagnitude>
struct FloatCode {
  static constexpr int kBits = kCodeBits;
  static constexpr bool kIsInteger = false;
  static constexpr float kMax = Magnitude::value(kMaxMagnitude);

  static QCCL_HD std::uint8_t nearest(float y) { return withSign(Magnitude::nearest(floatFromBits(bitsOf(y) & 0x7fffffffu)), y); }

  static QCCL_HD std::uint8_t stochastic(float y, float noise) {
    return withSign(Magnitude::stochastic(floatFromBits(bitsOf(y) & 0x7fffffffu), noise), y);
  }

  static QCCL_HD float value(std::uint8_t code) {
    constexpr std::uint32_t kSign = 1u << (kBits - 1);
    const std::uint32_t magnitude = bitsOf(Magnitude::value(code & (kSign - 1)));
    return floatFromBits(magnitude | (code & kSign) << (32 - kBits));
  }

 private:
  static QCCL_HD std::uint8_t withSign(std::uint32_t magnitude, float y) {
    const std::uint32_t limited = magnitude > kMaxMagnitude ? kMaxMagnitude : magnitude;
    const std::uint32_t sign = (bitsOf(y) >> 31) << (kBits - 1);
    return static_cast<std::uint8_t>(limited | (limited == 0 ? 0u : sign));
  }
};

using Fp8E4m3Code = FloatCode<8, MiniFloat<3, 7>, 0x7e>;
using Fp8E5m2Code = FloatCode<8, MiniFloat<2, 15>, 0x7b>;
using Fp4E2m1Code = FloatCode<4, MiniFloat<1, 1>, 7>;

static_assert(Fp8E4m3Code::kMax == 448.0f && Fp8E5m2Code::kMax == 57344.0f && Fp4E2m1Code::kMax == 6.0f);

// What counts as a loss in a finite block: a value scaled beyond the largest code by more than rounding, and one that became zero.
QCCL_HD bool isSaturated(float scaled, float maxCode) { return (scaled < 0.0f ? -scaled : scaled) > maxCode * (1.0f + 0x1p-20f); }
QCCL_HD bool isFlushed(float x, float codeValue) { return x != 0.0f && codeValue == 0.0f; }

// use(Code{}) for the codec's Code; any codec but none and bf16, which has no blocks (bf16_code.hpp).
template <typename Use>
QCCL_HD auto withCode(qcclCodec_t codec, Use use) {
  switch (codec) {
    case qcclCodecInt6:
      return use(IntCode<6>{});
    case qcclCodecInt5:
      return use(IntCode<5>{});
    case qcclCodecInt4:
      return use(IntCode<4>{});
    case qcclCodecFp8E4m3:
      return use(Fp8E4m3Code{});
    case qcclCodecFp8E5m2:
      return use(Fp8E5m2Code{});
    case qcclCodecFp4E2m1:
      return use(Fp4E2m1Code{});
    default:
      return use(IntCode<8>{});
  }
}

// Codec bf16 has no blocks and no scale: a value is rounded to BF16, up or down by the noise if it is given. An infinity or NaN stays what
// it is, and what is rounded beyond the largest finite value becomes infinite.
QCCL_HD std::uint16_t bfloat16Nearest(float x) { return toBfloat16(x); }

QCCL_HD std::uint16_t bfloat16Stochastic(float x, float noise) {
  const std::uint32_t bits = bitsOf(x);
  // The upper 16 of the noise's 24 bits, against the 16 bits that are cut off: up with a probability of those over 2^16.
  const auto threshold = static_cast<std::uint32_t>(static_cast<std::int32_t>(noise * 0x1p16f));
  const std::uint32_t rounded = (bits + threshold) >> 16;
  return (bits & 0x7fffffffu) >= kInfBits ? toBfloat16(x) : static_cast<std::uint16_t>(rounded);
}

}  // namespace qccl::quant
