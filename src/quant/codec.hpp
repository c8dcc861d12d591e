// INT8 symmetric: the scalar definition, once, for host and device. Every fast version must give these bits.
//
// A block with largest magnitude a is coded as q = round(x * 127 / a) and decoded as q * a / 127. The scale that travels is a itself: it is
// exact in FP32 even where a / 127 would be denormal. Blocks with a < 2^-96 are scaled by 2^96 while they are coded and decoded, which is
// exact, so that neither 127 / a overflows nor a / 127 loses bits: precision is relative at any magnitude, down to one denormal.
//
// Every operation below is one IEEE operation, rounded to nearest even; fmaf is fused where it says so and nowhere else.
#pragma once

#include <cmath>
#include <cstdint>

#include "quant/float_formats.hpp"
#include "quant/noise.hpp"

namespace qccl::quant {

inline constexpr float kInt8Max = 127.0f;
inline constexpr std::uint32_t kTinyBits = (127u - 96u) << 23;  // 2^-96
inline constexpr std::uint32_t kNanScaleBits = 0x7fc00000u;     // the scale of a block that held NaN or Inf

// The bits of |x|. Compared as integers they order like the magnitudes, with NaN above Inf above everything finite, so one integer maximum
// over a block finds both its largest magnitude and whether it is finite.
QCCL_HD std::uint32_t magnitudeBits(float x) { return bitsOf(x) & 0x7fffffffu; }

// The largest finite FP32 value is stored as its predecessor: 127 * (FLT_MAX / 127) would round to infinity. No other value does that.
inline constexpr std::uint32_t kMaxScaleBits = 0x7f7ffffeu;

// The scale to store for a block whose magnitudeBits have this maximum.
QCCL_HD float scaleFromMagnitude(std::uint32_t maxBits) {
  const std::uint32_t finite = maxBits < kMaxScaleBits ? maxBits : kMaxScaleBits;
  return floatFromBits(maxBits >= kInfBits ? kNanScaleBits : finite);
}

struct Int8Encoder {
  float pre;      // power of two applied to x first (exact)
  float inverse;  // 127 / (a * pre); 0 for an all-zero or a non-finite block, whose codes are all 0

  QCCL_HD explicit Int8Encoder(float scale) {
    const std::uint32_t bits = bitsOf(scale);
    pre = bits < kTinyBits ? 0x1p96f : 1.0f;
    inverse = bits == 0 || bits >= kInfBits ? 0.0f : kInt8Max / (scale * pre);
  }

  // In a non-finite block x itself may be NaN, and 0 * NaN is not 0: callers code such a block as zeros without asking.
  QCCL_HD float scaled(float x) const { return (x * pre) * inverse; }

  QCCL_HD std::int8_t nearest(float x) const { return static_cast<std::int8_t>(rintf(scaled(x))); }

  // noise in [0, 1). Values beyond +-127 by a rounding error of `scaled` stay at +-127.
  QCCL_HD std::int8_t stochastic(float x, float noise) const {
    const float y = scaled(x);
    const float below = floorf(y);
    const float q = noise < y - below ? below + 1.0f : below;
    return static_cast<std::int8_t>(q > kInt8Max ? kInt8Max : q < -kInt8Max ? -kInt8Max : q);
  }
};

struct Int8Decoder {
  float multiplier;  // a * pre / 127
  float post;        // 1 / pre

  QCCL_HD explicit Int8Decoder(float scale) {
    const bool tiny = bitsOf(scale) < kTinyBits;
    multiplier = (scale * (tiny ? 0x1p96f : 1.0f)) / kInt8Max;
    post = tiny ? 0x1p-96f : 1.0f;
  }

  QCCL_HD float decode(std::int8_t q) const { return (static_cast<float>(q) * post) * multiplier; }
  QCCL_HD float addTo(float sum, std::int8_t q) const { return fmaf(static_cast<float>(q) * post, multiplier, sum); }
};

}  // namespace qccl::quant
