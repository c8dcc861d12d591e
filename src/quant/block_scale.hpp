// How the scale of a block is chosen, stored and used: the scalar definition, once, for host and device, for every codec that has scales.
//
// `a` is the largest magnitude in the block, `maxCode` the largest value of the codec's codes (127 for int8, 448 for fp8e4m3). What is
// stored, and what value a code c stands for:
//     float32    s = a                                   c * s / maxCode
//     bfloat16   s = a rounded up to BF16                c * s / maxCode
//     e8m0       s = the least power of two with a <= maxCode * s, as its biased exponent (2^(byte - 127), 255: NaN)      c * s
// Storing a and not a / maxCode keeps the scale exact in FP32 even where the quotient would be denormal. Blocks with s < 2^-96 are scaled
// by 2^96 while they are coded and decoded, which is exact, so that neither maxCode / s overflows nor s / maxCode loses bits: with FP32 and
// BF16 scales precision is relative at any magnitude, down to one denormal. E8M0 ends at 2^-127: smaller blocks are coded in steps of that.
//
// Every operation below is one IEEE operation, rounded to nearest even; fmaf is fused where it says so and nowhere else.
#pragma once

#include <cmath>
#include <cstdint>

#include "quant/float_formats.hpp"
#include "quant/wire_format.hpp"

namespace qccl::quant {

inline constexpr std::uint32_t kTinyBits = (127u - 96u) << 23;  // 2^-96
inline constexpr std::uint32_t kNanScaleBits = 0x7fc00000u;     // the scale of a block that held NaN or Inf

// The bits of |x|. Compared as integers they order like the magnitudes, with NaN above Inf above everything finite, so one integer maximum
// over a block finds both its largest magnitude and whether it is finite.
QCCL_HD std::uint32_t magnitudeBits(float x) { return bitsOf(x) & 0x7fffffffu; }

// The largest finite FP32 value is stored as its predecessor: 127 * (FLT_MAX / 127) would round to infinity, and no other value does that.
// In BF16 the largest finite value stands for everything above it; the values it clips lose less than half a step of int8.
inline constexpr std::uint32_t kMaxScaleBits = 0x7f7ffffeu;
inline constexpr std::uint32_t kMaxBfloat16ScaleBits = 0x7f7fu;

// The scale of a block whose magnitudeBits have the maximum maxBits, in its low scaleBytes.
QCCL_HD std::uint32_t storedScale(qcclScale_t scale, float maxCode, std::uint32_t maxBits) {
  const bool finite = maxBits < kInfBits;
  if (scale == qcclScaleFloat32) return !finite ? kNanScaleBits : maxBits < kMaxScaleBits ? maxBits : kMaxScaleBits;
  if (scale == qcclScaleBfloat16) {
    const std::uint32_t up = (maxBits + 0xffffu) >> 16;
    return !finite ? kNanScaleBits >> 16 : up < kMaxBfloat16ScaleBits ? up : kMaxBfloat16ScaleBits;
  }
  // The difference of the bits of a and maxCode is that of their exponents and mantissas; rounded up, the exponent of the quotient.
  const auto quotient = static_cast<std::int32_t>(maxBits) - static_cast<std::int32_t>(bitsOf(maxCode));
  const std::int32_t exponent = ((quotient + 0x7fffff) >> 23) + 127;
  return !finite ? 255u : exponent > 0 ? static_cast<std::uint32_t>(exponent) : 0u;
}

// A power of two by its biased exponent, 2^-127 (a denormal) for 0.
QCCL_HD float powerOfTwo(std::uint32_t biasedExponent) { return floatFromBits(biasedExponent == 0 ? 0x00400000u : biasedExponent << 23); }

// The float that a stored FP32 or BF16 scale is.
QCCL_HD float scaleValue(qcclScale_t scale, std::uint32_t stored) {
  return scale == qcclScaleBfloat16 ? fromBfloat16(static_cast<std::uint16_t>(stored)) : floatFromBits(stored);
}

struct BlockEncoder {
  float pre;      // power of two applied to x first (exact)
  float inverse;  // what one unit of x * pre is in codes; 0 for an all-zero or a non-finite block, whose codes are all 0

  QCCL_HD BlockEncoder(qcclScale_t scale, float maxCode, std::uint32_t stored) {
    if (scale == qcclScaleE8m0) {
      pre = 1.0f;
      inverse = stored == 255 ? 0.0f : powerOfTwo(254 - stored);
      return;
    }
    const float value = scaleValue(scale, stored);
    pre = bitsOf(value) < kTinyBits ? 0x1p96f : 1.0f;
    inverse = bitsOf(value) == 0 || bitsOf(value) >= kInfBits ? 0.0f : maxCode / (value * pre);
  }

  // In a non-finite block x itself may be NaN, and 0 * NaN is not 0: callers code such a block as zeros without asking.
  QCCL_HD float scaled(float x) const { return (x * pre) * inverse; }
};

struct BlockDecoder {
  float multiplier;  // the value of one code unit, times 1 / post
  float post;        // power of two (exact)

  QCCL_HD BlockDecoder(float multiplierOfUnit, float powerOfTwoAfter) : multiplier(multiplierOfUnit), post(powerOfTwoAfter) {}

  QCCL_HD BlockDecoder(qcclScale_t scale, float maxCode, std::uint32_t stored) {
    if (scale == qcclScaleE8m0) {
      multiplier = stored == 255 ? floatFromBits(kNanScaleBits) : powerOfTwo(stored);
      post = 1.0f;
      return;
    }
    const float value = scaleValue(scale, stored);
    const bool tiny = bitsOf(value) < kTinyBits;
    multiplier = (value * (tiny ? 0x1p96f : 1.0f)) / maxCode;
    post = tiny ? 0x1p-96f : 1.0f;
  }

  // `code` is the value of a code (codes.hpp).
  QCCL_HD float decode(float code) const { return (code * post) * multiplier; }
  QCCL_HD float addTo(float sum, float code) const { return fmaf(code * post, multiplier, sum); }
};

// x / divisor, correctly rounded, without the branches of a division, for a divisor that the compiler knows and an x that is zero, NaN, or
// of a magnitude from 2^-96 on. The quotient by the rounded inverse is off by little, and its remainder is exact; that the correction by
// it is right for every mantissa is tested for each codec's largest code.
QCCL_HD float dividedBy(float x, float divisor) {
  const float inverse = 1.0f / divisor;
  const float quotient = x * inverse;
  return fmaf(fmaf(-divisor, quotient, x), inverse, quotient);
}

// BlockDecoder(scale, maxCode, stored) for a scale of FP32 or BF16 and its value. Any other value than a positive number or zero comes from
// codes that no encoder made, or is NaN; those are divided.
QCCL_HD BlockDecoder fastBlockDecoder(float value, float maxCode) {
  const bool tiny = bitsOf(value) < kTinyBits;
  const float scaled = value * (tiny ? 0x1p96f : 1.0f);
  return {bitsOf(value) < kInfBits ? dividedBy(scaled, maxCode) : scaled / maxCode, tiny ? 0x1p-96f : 1.0f};
}

}  // namespace qccl::quant
