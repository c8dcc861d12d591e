// The operators on host memory: matrix products by CBLAS, the rest by loops over fixed 16-wide vectors (model/cpu/simd).
#pragma once

#include <memory>
#include <string>

#include "model/ops.hpp"

namespace qccl::train {

struct CpuOpsOptions {
  // Threads of each matrix product; a setting of the whole process (the last CpuOps made decides). Where the BLAS library is not OpenBLAS,
  // its own environment variables decide instead.
  int blasThreads = 1;
};

std::unique_ptr<Ops> makeCpuOps(const CpuOpsOptions& options = {});

// One line: the BLAS library with its kernel where it says so, and the width of vectors in use.
std::string cpuOpsDescription();

}  // namespace qccl::train
