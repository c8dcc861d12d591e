// Matrix products, row-major, in FP32.
#pragma once

#include <cstdint>
#include <string>

namespace qccl::train::blas {

enum class Transpose { kNo, kYes };

// c = alpha * op(a) op(b) + beta * c; op(a) is m x k, op(b) k x n, c m x n. ld*: elements from one stored row to the next. Nothing is read
// from c where beta is 0. Throws TrainError if an extent does not fit BLAS's 32-bit integers.
void gemm(Transpose transA, Transpose transB, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
          const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);

// For the whole process. Where the BLAS library is not OpenBLAS its own environment variable decides and this does nothing.
void setThreads(int threads);

// "OpenBLAS, SkylakeX kernels", or "CBLAS" where nothing more is known.
std::string description();

}  // namespace qccl::train::blas
