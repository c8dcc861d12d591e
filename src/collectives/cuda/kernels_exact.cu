#include "collectives/cuda/schedule_kernel.cuh"

namespace qccl::collectives::cuda {

CallKernel kernelsExact(int type);
CallKernel kernelsExact(int type) {
  if (type == 0) return scheduleKernelOf<PlainWire<quant::F32>, quant::F32, false>();
  if (type == 1) return scheduleKernelOf<PlainWire<quant::Bf16>, quant::Bf16, false>();
  return scheduleKernelOf<PlainWire<quant::F16>, quant::F16, false>();
}

}  // namespace qccl::collectives::cuda
