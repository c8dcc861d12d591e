#include "memory/cuda/launch.cuh"

namespace qccl::memory::cuda {

extern const StoreKernels kExactStore[3];
const StoreKernels kExactStore[3] = {exactKernelsOf<F32>(), exactKernelsOf<Bf16>(), exactKernelsOf<F16>()};

}  // namespace qccl::memory::cuda
