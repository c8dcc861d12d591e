// The functions of StoreKernels for one codec: launches. Included by one source file for each codec.
#pragma once

#include <algorithm>
#include <bit>

#include "core/error.hpp"
#include "device/cuda/check.cuh"
#include "memory/cuda/arguments.cuh"
#include "memory/cuda/kernels.hpp"

namespace qccl::memory::cuda {

template <typename T>
unsigned tilesOf(std::uint64_t elems) {
  const std::uint64_t tiles = quant::divideUp(elems, kTileElems<T>);
  QCCL_CHECK(tiles <= 0x7fffffffu);  // 2^43 values
  return static_cast<unsigned>(tiles);
}

// A thread for each kThreadElems of a row.
template <typename T>
unsigned threadsOfRow(std::size_t cols) {
  return static_cast<unsigned>(quant::alignUp(quant::divideUp(cols, kThreadElems<T>), kWarpThreads));
}

// How many rows a thread block of normBackwardKernel works on at a time: a power of two.
template <typename T>
unsigned stripsOfBlock(std::size_t cols) {
  return std::min(kMaxStripsOfBlock, std::bit_floor(kRowThreads / threadsOfRow<T>(cols)));
}

template <typename Codec, typename T>
struct Launch {
  static void store(const void* values, std::size_t elems, const TensorFormat& format, const Place& place, StreamHandle stream) {
    const CodecArguments args = {const_cast<unsigned char*>(bytesAt(values)), storedTensor(place, elems, format)};
    storeKernel<Codec, T><<<tilesOf<T>(elems), kThreads, 0, stream>>>(args);
    QCCL_CUDA_CHECK(cudaGetLastError());
  }

  static void load(const Place& place, std::size_t elems, const TensorFormat& format, void* values, StreamHandle stream) {
    const CodecArguments args = {bytesAt(values), storedTensor(place, elems, format)};
    loadKernel<Codec, T><<<tilesOf<T>(elems), kThreads, 0, stream>>>(args);
    QCCL_CUDA_CHECK(cudaGetLastError());
  }

  // Of rows that hasRowKernel; of others, given rstd.
  static void normForward(const RmsNormForward& call, StreamHandle stream) {
    const NormForwardArguments args = argumentsOf(call);
    if (hasRowKernel(call.cols, call.dtype, call.format)) {
      normForwardKernel<Codec, T><<<args.rows, threadsOfRow<T>(call.cols), 0, stream>>>(args);
    } else {
      normScaleKernel<Codec, T><<<tilesOf<T>(call.rows * call.cols), kThreads, 0, stream>>>(args);
    }
    QCCL_CUDA_CHECK(cudaGetLastError());
  }

  // Of rows that hasRowKernel.
  static std::size_t normBackward(const RmsNormBackward& call, StreamHandle stream) {
    const dim3 block(threadsOfRow<T>(call.cols), stripsOfBlock<T>(call.cols));
    const std::size_t blocks = kStrips / block.y;
    constexpr auto kernel = normBackwardKernel<Codec, T>;
    constexpr auto kShared = static_cast<int>(sizeof(NormBackwardShared));
    QCCL_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));  // of the current device
    kernel<<<static_cast<unsigned>(blocks), block, kShared, stream>>>(argumentsOf(call));
    QCCL_CUDA_CHECK(cudaGetLastError());
    return blocks;
  }

  static void swigluForward(const SwigluForward& call, StreamHandle stream) {
    swigluForwardKernel<Codec, T><<<tilesOf<T>(call.elems), kThreads, 0, stream>>>(argumentsOf(call));
    QCCL_CUDA_CHECK(cudaGetLastError());
  }

  static void swigluBackward(const SwigluBackward& call, StreamHandle stream) {
    swigluBackwardKernel<Codec, T><<<tilesOf<T>(call.elems), kThreads, 0, stream>>>(argumentsOf(call));
    QCCL_CUDA_CHECK(cudaGetLastError());
  }
};

template <typename Codec, typename T>
constexpr StoreKernels storeKernelsOf() {
  using Functions = Launch<Codec, T>;
  return {Functions::store,        Functions::load,          Functions::normForward,
          Functions::normBackward, Functions::swigluForward, Functions::swigluBackward};
}

template <typename T>
constexpr StoreKernels exactKernelsOf() {
  using Functions = Launch<ExactCodec<T>, T>;
  return {nullptr, nullptr, Functions::normForward, Functions::normBackward, nullptr, Functions::swigluBackward};
}

}  // namespace qccl::memory::cuda

// The row of fused_on_device.cc: FP32, BF16, FP16. Declared first, because a constant has internal linkage otherwise.
#define QCCL_STORE_CODEC(name, ...)                                                                      \
  namespace qccl::memory::cuda {                                                                         \
  extern const StoreKernels name[3];                                                                     \
  const StoreKernels name[3] = {storeKernelsOf<__VA_ARGS__, F32>(), storeKernelsOf<__VA_ARGS__, Bf16>(), \
                                storeKernelsOf<__VA_ARGS__, F16>()};                                     \
  }
