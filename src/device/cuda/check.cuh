// Errors of the CUDA runtime as exceptions.
#pragma once

#include <cuda_runtime_api.h>

namespace qccl::device::cuda {

// Throws Error(qcclUnhandledCudaError) with the call's text and the runtime's words. Clears the runtime's last error first, or the next
// check of a kernel launch in this thread would report it again.
[[noreturn]] void failCuda(cudaError_t error, const char* call, const char* file, int line);

}  // namespace qccl::device::cuda

#define QCCL_CUDA_CHECK(call)                                                                                   \
  do {                                                                                                          \
    const cudaError_t qcclCudaError = (call);                                                                   \
    if (qcclCudaError != cudaSuccess) ::qccl::device::cuda::failCuda(qcclCudaError, #call, __FILE__, __LINE__); \
  } while (false)
