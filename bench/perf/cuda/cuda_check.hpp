// Calls of the CUDA runtime: a failure becomes a sentence.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "common/api.hpp"

namespace qccl::bench {

// Throws ToolError unless `result` is cudaSuccess; `call` is what was tried. The runtime forgets the error, so that the next call does not
// report it as its own.
inline void checkCuda(cudaError_t result, const std::string& call) {
  if (result == cudaSuccess) return;
  cudaGetLastError();
  throw ToolError(call + ": " + cudaGetErrorString(result) + " (" + cudaGetErrorName(result) + ")");
}

}  // namespace qccl::bench
