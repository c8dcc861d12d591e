// Kernels for what the fast ones do not take: gate and up in two formats, rows that are not whole blocks, gradients of a norm in arrays
// that are not aligned to 16 bytes. A value is decoded by itself, whatever its codec: with the same result, at a fraction of the rate.
#pragma once

#include "memory/cuda/rmsnorm_backward.cuh"
#include "memory/cuda/swiglu.cuh"

namespace qccl::memory::cuda {

// Value `elem` of a tensor in any codec; with codec none its type is T.
template <typename T>
__device__ float storedValue(const StoredTensor& tensor, qcclCodec_t codec, std::uint64_t elem) {
  if (codec == qcclCodecNone) return elementAt<T>(tensor.codes, elem);
  const GroupPlace place = tensor.codesOf(elem);
  const auto bitsOfPlane = [&](std::uint32_t begin, std::uint32_t count) {
    const std::uint32_t bit = place.inFrame * count;
    return static_cast<std::uint32_t>(place.frame[begin + bit / 8]) >> bit % 8 & ((1u << count) - 1);
  };
  if (codec == qcclCodecBf16) return elementAt<Bf16>(place.frame, place.inFrame);
  const auto low = static_cast<std::uint32_t>(lowPlaneBits(codec)), high = static_cast<std::uint32_t>(highPlaneBits(codec));
  std::uint32_t code = bitsOfPlane(place.sections.low, low);
  if (high > 0) code |= bitsOfPlane(place.sections.high, high) << low;
  const std::uint32_t stored = loadScale(tensor.scaleOf(elem), tensor.layout);
  return withCode(codec, [&]<typename Code>(Code) {
    using Codec = ScaledCodec<qcclCodecInt8, Code>;
    return typename Codec::Decoder(tensor.layout.scale, stored).decodeNumber(code);
  });
}

template <typename T>
__device__ __forceinline__ void storeValue(unsigned char* values, std::uint64_t i, float x) {
  reinterpret_cast<typename T::Bits*>(values)[i] = T::narrow(withOneNan(x));
}

struct AnySwigluArguments {
  SwigluBackwardArguments call;
  qcclCodec_t gateCodec, upCodec;
};

template <typename T>
__global__ void __launch_bounds__(kThreads) anySwigluBackwardKernel(const __grid_constant__ AnySwigluArguments args) {
  const std::uint64_t i = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  const SwigluBackwardArguments& call = args.call;
  if (i >= call.gateTensor.layout.elems) return;
  const SwigluGradients d = swigluGradients(storedValue<T>(call.gateTensor, args.gateCodec, i),
                                            storedValue<T>(call.upTensor, args.upCodec, i), elementAt<T>(call.dProduct, i));
  storeValue<T>(call.dGate, i, d.gate);
  storeValue<T>(call.dUp, i, d.up);
  if (call.product != nullptr) storeValue<T>(call.product, i, d.product);
}

struct AnyNormArguments {
  NormBackwardArguments call;
  qcclCodec_t codec;
};

// A row for each thread block: the mean.
template <typename T>
__global__ void __launch_bounds__(kThreads) anyNormMeansKernel(const __grid_constant__ AnyNormArguments args) {
  const NormBackwardArguments& call = args.call;
  const std::uint64_t first = std::uint64_t{blockIdx.x} * call.cols;
  const float sum = sumOfAnyRow(call.cols, [&](std::uint32_t col) {
    return Factors{elementAt<T>(call.dOutput, first + col) * elementAt<T>(call.weight, col),
                   storedValue<T>(call.xhat, args.codec, first + col)};
  });
  if (threadIdx.x == 0) call.means[blockIdx.x] = meanOf(sum, static_cast<float>(call.cols));
}

// A column of a strip for each thread.
template <typename T>
__global__ void __launch_bounds__(kThreads) anyNormBackwardKernel(const __grid_constant__ AnyNormArguments args) {
  const NormBackwardArguments& call = args.call;
  const std::uint32_t col = blockIdx.x * kThreads + threadIdx.x;
  if (col >= call.cols) return;
  const float weight = elementAt<T>(call.weight, col);
  float dWeight = 0.0f;
  for (std::uint32_t row = blockIdx.y; row < call.rows; row += static_cast<std::uint32_t>(kStrips)) {
    const std::uint64_t i = std::uint64_t{row} * call.cols + col;
    const float d = elementAt<T>(call.dOutput, i), xhat = storedValue<T>(call.xhat, args.codec, i);
    storeValue<T>(call.dX, i, normGradient(d * weight, xhat, call.means[row], call.rstd[row]));
    if (call.output != nullptr) storeValue<T>(call.output, i, xhat * weight);
    dWeight = fmaf(d, xhat, dWeight);
  }
  call.strips[std::uint64_t{blockIdx.y} * call.cols + col] = dWeight;
}

}  // namespace qccl::memory::cuda
