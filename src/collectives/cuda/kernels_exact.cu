#include "collectives/cuda/schedule_kernel.cuh"
#include "collectives/cuda/sum_kernel.cuh"

namespace qccl::collectives::cuda {
namespace {

// Values as they are have no rounding.
template <typename T>
CodecKernels exactKernelsOf() {
  using Wire = PlainWire<T>;
  CodecKernels kernels = {};
  kernels.schedule[0] = kernels.schedule[1] = scheduleKernelOf<Wire, T, false>();
  kernels.sum[0] = kernels.sum[1] = sumKernelOf<Wire, T, false>();
  return kernels;
}

}  // namespace

CodecKernels kernelsExact(int type);
CodecKernels kernelsExact(int type) {
  if (type == 0) return exactKernelsOf<quant::F32>();
  if (type == 1) return exactKernelsOf<quant::Bf16>();
  return exactKernelsOf<quant::F16>();
}

}  // namespace qccl::collectives::cuda
