#include "model/cpu/blas.hpp"

#include <cblas.h>

#include <limits>

#include "model/error.hpp"

// Present in OpenBLAS only: weak, so that any other CBLAS links too.
extern "C" {
__attribute__((weak)) void openblas_set_num_threads(int threads);
__attribute__((weak)) char* openblas_get_corename(void);
}

namespace qccl::train::blas {
namespace {

int narrow(std::int64_t extent) {
  if (extent < 0 || extent > std::numeric_limits<int>::max())
    failTrain("a matrix with an extent of ", extent, " is too large for BLAS; use a smaller micro-batch");
  return static_cast<int>(extent);
}

CBLAS_TRANSPOSE flag(Transpose transpose) { return transpose == Transpose::kYes ? CblasTrans : CblasNoTrans; }

}  // namespace

void gemm(Transpose transA, Transpose transB, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
          const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  cblas_sgemm(CblasRowMajor, flag(transA), flag(transB), narrow(m), narrow(n), narrow(k), alpha, a, narrow(lda), b, narrow(ldb), beta, c,
              narrow(ldc));
}

void setThreads(int threads) {
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(threads);
}

std::string description() {
  if (openblas_get_corename == nullptr) return "CBLAS";
  return std::string("OpenBLAS, ") + openblas_get_corename() + " kernels";
}

}  // namespace qccl::train::blas
