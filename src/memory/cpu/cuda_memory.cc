// Without CUDA there is no GPU memory.
#include "core/error.hpp"
#include "memory/memory_space.hpp"

namespace qccl::memory {

std::unique_ptr<MemorySpace> cudaMemory(int device) {
  fail(qcclInvalidArgument, "no pool in the memory of GPU ", device, ": this build of qccl has no CUDA; use host memory");
}

}  // namespace qccl::memory
