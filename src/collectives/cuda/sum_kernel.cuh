// The kernel of sum_kernel.hpp: what the steps of a schedule do between two messages, with the arithmetic of wire.cuh, so that it gives the
// same bits as the host's executor and the peer-memory kernels.
#pragma once

#include "collectives/cuda/kernel_call.hpp"
#include "collectives/cuda/sum_kernel.hpp"
#include "collectives/cuda/wire.cuh"

namespace qccl::collectives::cuda {

static_assert(quant::cuda::kThreads == kSumThreads);

template <typename Wire, typename T, bool kFirst>
__device__ __forceinline__ void takeOperand(const SumCall& call, std::uint32_t number, const Part<T>& part, const MessagePlace& at,
                                            Sum<T>& sum) {
  const unsigned char* operand = call.operands[number];
  if ((call.areValues[number / 32] >> (number % 32) & 1) == 0) {
    Wire::template take<!kFirst>(part, operand, at, sum);
    return;
  }
  RawGroup raw[kRows];
  part.load(operand, raw);
  if constexpr (kFirst) {
    widen<T>(raw, sum);
  } else {
    addWidened<T>(raw, sum);
  }
}

template <typename Wire, typename T, bool kStochastic>
__global__ void __launch_bounds__(kSumThreads, 2) sumOperands(const __grid_constant__ SumCall call) {
  const std::uint32_t blockShift = Wire::kExact ? 8 : call.layout.blockShift;
  const Part<T> part(call.elems, blockShift, blockIdx.x);
  const MessagePlace at = {call.firstElem, static_cast<std::uint32_t>(call.elems), call.layout};
  Sum<T> sum;
  takeOperand<Wire, T, true>(call, 0, part, at, sum);
  for (std::uint32_t i = 1; i < call.count; ++i) takeOperand<Wire, T, false>(call, i, part, at, sum);
  if (call.divideBy != 0) divideSum<T>(sum, call.divideBy);

  if (call.message == nullptr) {
    RawGroup raw[kRows];
    narrow<T>(sum, raw);
    part.store(raw, call.output);
    return;
  }
  if constexpr (!Wire::kExact) {
    if (blockIdx.x == 0 && threadIdx.x == 0)
      quant::cuda::addCount(call.counts->blocks, (call.elems + (1u << blockShift) - 1) >> blockShift);
  }
  Wire::template encodeSum<kStochastic>(part, sum, at, call.noiseKey, call.counts, call.message);
  if (call.output == nullptr) return;
  __syncthreads();  // codes and scales of a block are written by several threads
  Wire::decode(part, call.message, at, call.output);
}

template <typename Wire, typename T, bool kStochastic>
CallKernel sumKernelOf() {
  return {reinterpret_cast<const void*>(sumOperands<Wire, T, kStochastic>), quant::cuda::kTileElems<T>, kSumThreads};
}

}  // namespace qccl::collectives::cuda
