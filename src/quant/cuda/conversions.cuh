// The device's own instructions for conversions that float_formats.hpp defines by integer arithmetic. They give the same bits but for a
// NaN, of which they make one and the same: for values that are none, or whose NaN nobody reads.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "quant/cuda/group.cuh"
#include "quant/value_types.hpp"

namespace qccl::quant::cuda {

template <typename T>
__device__ __forceinline__ float widenAnyNan(typename T::Bits bits) {
  return T::widen(bits);
}
template <>
__device__ __forceinline__ float widenAnyNan<F16>(std::uint16_t bits) {
  return __half2float(__ushort_as_half(bits));
}

// A group of values from FP32, rounded to nearest even.
template <typename T>
__device__ __forceinline__ RawGroup narrowAnyNan(const float (&values)[kGroupElems<T>]);

template <>
__device__ __forceinline__ RawGroup narrowAnyNan<F32>(const float (&values)[4]) {
  return {{bitsOf(values[0]), bitsOf(values[1]), bitsOf(values[2]), bitsOf(values[3])}};
}
template <>
__device__ __forceinline__ RawGroup narrowAnyNan<Bf16>(const float (&values)[8]) {
  RawGroup group;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(values[2 * i], values[2 * i + 1]);
    group.words[i] = __bfloat16_as_ushort(pair.x) | static_cast<std::uint32_t>(__bfloat16_as_ushort(pair.y)) << 16;
  }
  return group;
}
template <>
__device__ __forceinline__ RawGroup narrowAnyNan<F16>(const float (&values)[8]) {
  RawGroup group;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __half2 pair = __floats2half2_rn(values[2 * i], values[2 * i + 1]);
    group.words[i] = __half_as_ushort(pair.x) | static_cast<std::uint32_t>(__half_as_ushort(pair.y)) << 16;
  }
  return group;
}

}  // namespace qccl::quant::cuda
