// The kernels of one codec, for kernels.cc. Included by one source file for each codec.
#pragma once

#include <type_traits>

#include "collectives/cuda/oneshot_kernel.cuh"
#include "collectives/cuda/schedule_kernel.cuh"
#include "collectives/cuda/sum_kernel.cuh"

namespace qccl::collectives::cuda {

template <typename Codec, typename T, bool kStochastic, bool kUsual>
CallKernel oneshotKernelOf() {
  return {reinterpret_cast<const void*>(oneshotKernel<Codec, T, kStochastic, kUsual>), 32 * kOneshotLaneElems<T, kUsual>, kOneshotThreads};
}

template <typename Codec, typename T>
CodecKernels codecKernelsOf() {
  using Wire = CodedWire<Codec, T>;
  CodecKernels kernels = {};
  kernels.schedule[0] = scheduleKernelOf<Wire, T, false>();
  kernels.schedule[1] = scheduleKernelOf<Wire, T, true>();
  if constexpr (std::is_same_v<T, quant::F32>) {
    kernels.packed[0] = scheduleKernelOf<Wire, T, false, PackedBuffers<Codec>>();
    kernels.packed[1] = scheduleKernelOf<Wire, T, true, PackedBuffers<Codec>>();
  }
  kernels.sum[0] = sumKernelOf<Wire, T, false>();
  kernels.sum[1] = sumKernelOf<Wire, T, true>();
  if constexpr (quant::codeBits(Codec::kId) == 8) {
    kernels.oneshot[0] = oneshotKernelOf<Codec, T, false, false>();
    kernels.oneshot[1] = oneshotKernelOf<Codec, T, true, false>();
    kernels.usualOneshot = oneshotKernelOf<Codec, T, false, true>();
  }
  return kernels;
}

}  // namespace qccl::collectives::cuda

// By type: float32, bfloat16, float16.
#define QCCL_CODEC_KERNELS(name, ...)                                 \
  namespace qccl::collectives::cuda {                                 \
  CodecKernels name(int type);                                        \
  CodecKernels name(int type) {                                       \
    using namespace quant; /* NOLINT(google-build-using-namespace) */ \
    using quant::cuda::ScaledCodec;                                   \
    using quant::cuda::Bf16Codec;                                     \
    if (type == 0) return codecKernelsOf<__VA_ARGS__, F32>();         \
    if (type == 1) return codecKernelsOf<__VA_ARGS__, Bf16>();        \
    return codecKernelsOf<__VA_ARGS__, F16>();                        \
  }                                                                   \
  }
