#include "device/cuda/check.cuh"

#include "core/error.hpp"

namespace qccl::device::cuda {

void failCuda(cudaError_t error, const char* call, const char* file, int line) {
  (void)cudaGetLastError();
  fail(qcclUnhandledCudaError, "CUDA: ", call, " failed: ", cudaGetErrorString(error), " (", cudaGetErrorName(error), ") at ", file, ":",
       line);
}

}  // namespace qccl::device::cuda
