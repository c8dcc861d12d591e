#include "perf/number_formats.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace qccl::bench {
namespace {

// A binary format: 1 sign bit, `exponentBits`, `mantissaBits`, the usual bias.
struct Format {
  int exponentBits;
  int mantissaBits;
  bool hasInfinity;  // otherwise only the all-ones code is NaN and the top exponent holds numbers (E4M3)

  constexpr int bias() const { return (1 << (exponentBits - 1)) - 1; }
  constexpr int smallestExponent() const { return 1 - bias(); }  // of normal numbers
  constexpr int codeBits() const { return 1 + exponentBits + mantissaBits; }
};

constexpr Format kHalf{5, 10, true};
constexpr Format kBfloat{8, 7, true};
constexpr Format kE4M3{4, 3, false};
constexpr Format kE5M2{5, 2, true};

double largestOf(const Format& f) {
  const int topExponent = (1 << f.exponentBits) - (f.hasInfinity ? 2 : 1) - f.bias();
  const double ulp = std::ldexp(1.0, topExponent - f.mantissaBits);
  const double steps = std::ldexp(1.0, f.mantissaBits + 1) - (f.hasInfinity ? 1 : 2);  // E4M3's last code is NaN
  return steps * ulp;
}

std::uint32_t encodeSmall(double value, const Format& f) {
  const std::uint32_t sign = std::signbit(value) ? 1u << (f.codeBits() - 1) : 0u;
  const std::uint32_t topExponent = (1u << f.exponentBits) - 1;
  if (std::isnan(value))
    return sign | (f.hasInfinity ? (topExponent << f.mantissaBits) | (1u << (f.mantissaBits - 1)) : (1u << (f.codeBits() - 1)) - 1);
  const double magnitude = std::fabs(value);
  if (magnitude == 0) return sign;
  const int exponent = std::max(std::ilogb(magnitude), f.smallestExponent());
  // Whole steps of the format, to nearest even: adding and subtracting 1.5 * 2^52 rounds a double below 2^51 to a whole number.
  const double steps = std::ldexp(magnitude, f.mantissaBits - exponent);
  const double whole = std::isinf(magnitude) ? 0 : (steps + 0x1.8p52) - 0x1.8p52;
  if (std::isinf(magnitude) || std::ldexp(whole, exponent - f.mantissaBits) > largestOf(f)) {
    return sign | (f.hasInfinity ? topExponent << f.mantissaBits : (1u << (f.codeBits() - 1)) - 1);
  }
  // A subnormal's steps are its code; a normal's leading step is implied by the exponent field, and a carry moves into it by itself.
  return sign + (static_cast<std::uint32_t>(exponent - f.smallestExponent()) << f.mantissaBits) + static_cast<std::uint32_t>(whole);
}

double decodeSmall(std::uint32_t code, const Format& f) {
  const std::uint32_t mantissaMask = (1u << f.mantissaBits) - 1;
  const std::uint32_t topExponent = (1u << f.exponentBits) - 1;
  const std::uint32_t field = (code >> f.mantissaBits) & topExponent;
  const std::uint32_t mantissa = code & mantissaMask;
  const double sign = (code >> (f.codeBits() - 1)) & 1u ? -1.0 : 1.0;
  if (field == topExponent && (f.hasInfinity || mantissa == mantissaMask)) {
    return sign * (f.hasInfinity && mantissa == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN());
  }
  if (field == 0) return sign * std::ldexp(mantissa, f.smallestExponent() - f.mantissaBits);
  return sign * std::ldexp(mantissa + mantissaMask + 1, static_cast<int>(field) - f.bias() - f.mantissaBits);
}

Precision precisionOf(const Format& f) {
  return {std::ldexp(1.0, -f.mantissaBits - 1), std::ldexp(0.5, f.smallestExponent() - f.mantissaBits), largestOf(f), f.mantissaBits + 1};
}

template <typename T>
Precision precisionOfNative() {
  using Limits = std::numeric_limits<T>;
  if constexpr (Limits::is_integer) {
    return {0, 0, static_cast<double>(Limits::max()), std::min(Limits::digits, std::numeric_limits<double>::digits)};
  } else {
    return {static_cast<double>(Limits::epsilon()) / 2, static_cast<double>(Limits::denorm_min()) / 2, static_cast<double>(Limits::max()),
            Limits::digits};
  }
}

// All codes of a small format, as doubles.
template <std::size_t kCodes>
std::array<double, kCodes> decodeTable(const Format& f) {
  std::array<double, kCodes> table;
  for (std::uint32_t code = 0; code < kCodes; ++code) table[code] = decodeSmall(code, f);
  return table;
}

const double* tableOf(qcclDataType_t dtype) {
  static const std::array<double, 65536> half = decodeTable<65536>(kHalf);
  static const std::array<double, 65536> bfloat = decodeTable<65536>(kBfloat);
  static const std::array<double, 256> e4m3 = decodeTable<256>(kE4M3);
  static const std::array<double, 256> e5m2 = decodeTable<256>(kE5M2);
  switch (dtype) {
    case qcclFloat16:
      return half.data();
    case qcclBfloat16:
      return bfloat.data();
    case qcclFloat8e4m3:
      return e4m3.data();
    default:
      return e5m2.data();
  }
}

template <typename T>
void encodeNative(std::span<const double> values, void* elements) {
  T* out = static_cast<T*>(elements);
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = static_cast<T>(values[i]);
}

template <typename Code>
void encodeCodes(std::span<const double> values, const Format& f, void* elements) {
  Code* out = static_cast<Code*>(elements);
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = static_cast<Code>(encodeSmall(values[i], f));
}

template <typename T>
void decodeNative(const void* elements, std::size_t first, std::span<double> values) {
  const T* in = static_cast<const T*>(elements) + first;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(in[i]);
}

template <typename Code>
void decodeCodes(const void* elements, std::size_t first, const double* table, std::span<double> values) {
  const Code* in = static_cast<const Code*>(elements) + first;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = table[in[i]];
}

}  // namespace

Precision precisionOf(qcclDataType_t dtype) {
  switch (dtype) {
    case qcclInt8:
      return precisionOfNative<std::int8_t>();
    case qcclUint8:
      return precisionOfNative<std::uint8_t>();
    case qcclInt32:
      return precisionOfNative<std::int32_t>();
    case qcclUint32:
      return precisionOfNative<std::uint32_t>();
    case qcclInt64:
      return precisionOfNative<std::int64_t>();
    case qcclUint64:
      return precisionOfNative<std::uint64_t>();
    case qcclFloat16:
      return precisionOf(kHalf);
    case qcclFloat32:
      return precisionOfNative<float>();
    case qcclFloat64:
      return precisionOfNative<double>();
    case qcclBfloat16:
      return precisionOf(kBfloat);
    case qcclFloat8e4m3:
      return precisionOf(kE4M3);
    case qcclFloat8e5m2:
      return precisionOf(kE5M2);
    case qcclNumTypes:
    case qcclPacked:
      break;
  }
  return {};
}

bool isFloating(qcclDataType_t dtype) { return precisionOf(dtype).unitRoundoff > 0; }

bool isUnsigned(qcclDataType_t dtype) { return dtype == qcclUint8 || dtype == qcclUint32 || dtype == qcclUint64; }

void encodeElements(std::span<const double> values, qcclDataType_t dtype, void* elements) {
  switch (dtype) {
    case qcclInt8:
      return encodeNative<std::int8_t>(values, elements);
    case qcclUint8:
      return encodeNative<std::uint8_t>(values, elements);
    case qcclInt32:
      return encodeNative<std::int32_t>(values, elements);
    case qcclUint32:
      return encodeNative<std::uint32_t>(values, elements);
    case qcclInt64:
      return encodeNative<std::int64_t>(values, elements);
    case qcclUint64:
      return encodeNative<std::uint64_t>(values, elements);
    case qcclFloat16:
      return encodeCodes<std::uint16_t>(values, kHalf, elements);
    case qcclFloat32:
      return encodeNative<float>(values, elements);
    case qcclFloat64:
      return encodeNative<double>(values, elements);
    case qcclBfloat16:
      return encodeCodes<std::uint16_t>(values, kBfloat, elements);
    case qcclFloat8e4m3:
      return encodeCodes<std::uint8_t>(values, kE4M3, elements);
    case qcclFloat8e5m2:
      return encodeCodes<std::uint8_t>(values, kE5M2, elements);
    case qcclNumTypes:
    case qcclPacked:
      break;
  }
}

void decodeElements(const void* elements, std::size_t first, qcclDataType_t dtype, std::span<double> values) {
  switch (dtype) {
    case qcclInt8:
      return decodeNative<std::int8_t>(elements, first, values);
    case qcclUint8:
      return decodeNative<std::uint8_t>(elements, first, values);
    case qcclInt32:
      return decodeNative<std::int32_t>(elements, first, values);
    case qcclUint32:
      return decodeNative<std::uint32_t>(elements, first, values);
    case qcclInt64:
      return decodeNative<std::int64_t>(elements, first, values);
    case qcclUint64:
      return decodeNative<std::uint64_t>(elements, first, values);
    case qcclFloat16:
    case qcclBfloat16:
      return decodeCodes<std::uint16_t>(elements, first, tableOf(dtype), values);
    case qcclFloat32:
      return decodeNative<float>(elements, first, values);
    case qcclFloat64:
      return decodeNative<double>(elements, first, values);
    case qcclFloat8e4m3:
    case qcclFloat8e5m2:
      return decodeCodes<std::uint8_t>(elements, first, tableOf(dtype), values);
    case qcclNumTypes:
    case qcclPacked:
      break;
  }
}

}  // namespace qccl::bench
