// The types of values, as the kernels of host and device read and write them: their bits, and how those become FP32 and come from it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/float_formats.hpp"

namespace qccl::quant {

struct F32 {
  using Bits = std::uint32_t;
  static constexpr std::size_t kBytes = 4;
  static QCCL_HD float widen(Bits bits) { return floatFromBits(bits); }
  static QCCL_HD Bits narrow(float x) { return bitsOf(x); }
};

struct Bf16 {
  using Bits = std::uint16_t;
  static constexpr std::size_t kBytes = 2;
  static QCCL_HD float widen(Bits bits) { return fromBfloat16(bits); }
  static QCCL_HD Bits narrow(float x) { return toBfloat16(x); }
};

struct F16 {
  using Bits = std::uint16_t;
  static constexpr std::size_t kBytes = 2;
  static QCCL_HD float widen(Bits bits) { return fromFloat16(bits); }
  static QCCL_HD Bits narrow(float x) { return toFloat16(x); }
};

template <typename T>
QCCL_HD typename T::Bits bitsAt(const unsigned char* p, std::size_t i) {
  typename T::Bits bits;
  __builtin_memcpy(&bits, p + T::kBytes * i, T::kBytes);
  return bits;
}

template <typename T>
QCCL_HD float valueAt(const unsigned char* p, std::size_t i) {
  return T::widen(bitsAt<T>(p, i));
}

template <typename T>
QCCL_HD void storeAt(unsigned char* p, std::size_t i, float x) {
  const typename T::Bits bits = T::narrow(x);
  __builtin_memcpy(p + T::kBytes * i, &bits, T::kBytes);
}

}  // namespace qccl::quant
