// Conversions between FP32 and the shorter floating types, by integer arithmetic alone: the same bits on every machine, to nearest even.
// NaN stays NaN: quiet, with its sign and, in the 16-bit types, the upper bits of its payload, as processors convert it.
//
// Overflow goes to infinity, and to NaN in E4M3, which has no infinity: a sum that left the range must be seen by whoever looks for
// non-finite values, so nothing saturates. Denormals are kept.
#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace qccl::quant {

// The built-in function and not std::bit_cast, which device code may not call.
QCCL_HD constexpr float floatFromBits(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
QCCL_HD constexpr std::uint32_t bitsOf(float x) { return __builtin_bit_cast(std::uint32_t, x); }

inline constexpr std::uint32_t kInfBits = 0x7f800000u;

QCCL_HD float fromBfloat16(std::uint16_t x) { return floatFromBits(static_cast<std::uint32_t>(x) << 16); }

QCCL_HD std::uint16_t toBfloat16(float x) {
  const std::uint32_t bits = bitsOf(x);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const std::uint32_t quietNan = (bits >> 16) | 0x40u;
  return static_cast<std::uint16_t>((bits & 0x7fffffffu) > kInfBits ? quietNan : rounded);
}

QCCL_HD float fromFloat16(std::uint16_t x) {
  const std::uint32_t sign = (static_cast<std::uint32_t>(x) & 0x8000u) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(x) & 0x7fffu;
  // The exponent is rebiased by a multiplication, which is exact and normalizes denormals on the way.
  const float finite = floatFromBits(magnitude << 13) * 0x1p112f;
  const std::uint32_t special = (magnitude << 13) | kInfBits;
  return floatFromBits(sign | (magnitude >= 0x7c00u ? special : bitsOf(finite)));
}

QCCL_HD std::uint16_t toFloat16(float x) {
  const std::uint32_t bits = bitsOf(x);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  const std::uint32_t normal = (magnitude + 0x0fffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  // Below 2^-14 the addition of 0.5 leaves the rounded denormal in the low bits of the sum.
  const std::uint32_t denormal = bitsOf(floatFromBits(magnitude) + 0.5f) - 0x3f000000u;
  const std::uint32_t finite = magnitude < 0x38800000u ? denormal : normal;
  const std::uint32_t overflow = magnitude > kInfBits ? 0x7e00u | ((magnitude >> 13) & 0x3ffu) : 0x7c00u;
  return static_cast<std::uint16_t>(sign | (magnitude >= 0x477ff000u ? overflow : finite));
}

// The magnitudes of a small float type, as codes: consecutive integers in the order of the values, exponent above mantissa, denormals
// first.
template <int kMantissaBits, int kBias>
struct MiniFloat {
  static constexpr int kShift = 23 - kMantissaBits;
  static constexpr std::uint32_t kMinNormalBits = static_cast<std::uint32_t>(127 - kBias + 1) << 23;

  // To nearest even. `magnitude` is not negative and below 2^64; codes beyond the type's own are those of a longer exponent.
  static QCCL_HD std::uint32_t nearest(float magnitude) {
    const std::uint32_t binade = binadeOf(magnitude);
    // Adding this puts the last place of the type at the last place of the sum.
    const float anchor = floatFromBits(binade + (static_cast<std::uint32_t>(kShift) << 23));
    return bitsOf(magnitude + anchor) - bitsOf(anchor) + ((binade - kMinNormalBits) >> kShift);
  }

  // Up if the noise in [0, 1) is less than the distance from the code below, in units of the distance between the two codes.
  static QCCL_HD std::uint32_t stochastic(float magnitude, float noise) {
    const std::uint32_t binade = binadeOf(magnitude);
    const float units = magnitude * floatFromBits((static_cast<std::uint32_t>(254 + kMantissaBits) << 23) - binade);  // exact
    const auto below = static_cast<std::int32_t>(units);
    const std::int32_t rounded = below + (noise < units - static_cast<float>(below) ? 1 : 0);
    return static_cast<std::uint32_t>(rounded) + ((binade - kMinNormalBits) >> kShift);
  }

  static QCCL_HD constexpr float value(std::uint32_t code) {
    constexpr std::uint32_t kFirstNormal = 1u << kMantissaBits;
    // The last place of a denormal, 2^(1 - bias - mantissa bits). Not as a denormal of FP32, with which processors are slow.
    constexpr std::uint32_t kUnitBits = kMinNormalBits - (static_cast<std::uint32_t>(kMantissaBits) << 23);
    const float denormal = static_cast<float>(static_cast<std::int32_t>(code)) * floatFromBits(kUnitBits);
    const float normal = floatFromBits((code << kShift) + (static_cast<std::uint32_t>(127 - kBias) << 23));
    return code < kFirstNormal ? denormal : normal;
  }

 private:
  // The power of two at or below the magnitude, not below that of the smallest normal value.
  static QCCL_HD std::uint32_t binadeOf(float magnitude) {
    const std::uint32_t exponent = bitsOf(magnitude) & kInfBits;
    return exponent > kMinNormalBits ? exponent : kMinNormalBits;
  }
};

// The 8-bit types of the API: their magnitude, and what stands at the top of the range.
template <typename Magnitude, bool kHasInfinity>
struct Float8 {
  static constexpr std::uint32_t kNan = kHasInfinity ? 0x7eu : 0x7fu;
  static constexpr std::uint32_t kInfinity = 0x7cu;  // only where kHasInfinity
  static constexpr std::uint32_t kMaxFinite = kHasInfinity ? 0x7bu : 0x7eu;

  static QCCL_HD float toFloat(std::uint8_t x) {
    const std::uint32_t sign = (static_cast<std::uint32_t>(x) & 0x80u) << 24;
    const std::uint32_t magnitude = static_cast<std::uint32_t>(x) & 0x7fu;
    if (magnitude > kMaxFinite) return floatFromBits(sign | (kHasInfinity && magnitude == kInfinity ? kInfBits : 0x7fc00000u));
    return floatFromBits(sign | bitsOf(Magnitude::value(magnitude)));
  }

  static QCCL_HD std::uint8_t fromFloat(float x) {
    const std::uint32_t bits = bitsOf(x);
    const std::uint32_t sign = (bits >> 24) & 0x80u;
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > kInfBits) return static_cast<std::uint8_t>(sign | kNan);
    constexpr std::uint32_t kBeyond = (127u + 32u) << 23;  // more than any of these types holds
    std::uint32_t code = Magnitude::nearest(floatFromBits(magnitude < kBeyond ? magnitude : kBeyond));
    if (code > kMaxFinite) code = kHasInfinity ? kInfinity : kNan;
    return static_cast<std::uint8_t>(sign | code);
  }
};

using Float8E4m3 = Float8<MiniFloat<3, 7>, false>;
using Float8E5m2 = Float8<MiniFloat<2, 15>, true>;

}  // namespace qccl::quant
