#include "model/cpu/blas.hpp"
#include "model/cpu/ops_impl.hpp"

namespace qccl::train {

using blas::Transpose;

void CpuOps::linearForward(ConstMatrix x, ConstMatrix w, Matrix y, Write write) {
  requireShape(x.cols == w.cols && y.rows == x.rows && y.cols == w.rows, "linearForward");
  blas::gemm(Transpose::kNo, Transpose::kYes, x.rows, w.rows, x.cols, 1.0F, x.data, x.cols, w.data, w.cols,
             write == Write::kAdd ? 1.0F : 0.0F, y.data, y.cols);
}

void CpuOps::linearBackwardInput(ConstMatrix dy, ConstMatrix w, Matrix dx, Write write) {
  requireShape(dy.cols == w.rows && dx.rows == dy.rows && dx.cols == w.cols, "linearBackwardInput");
  blas::gemm(Transpose::kNo, Transpose::kNo, dy.rows, w.cols, w.rows, 1.0F, dy.data, dy.cols, w.data, w.cols,
             write == Write::kAdd ? 1.0F : 0.0F, dx.data, dx.cols);
}

void CpuOps::linearBackwardWeight(ConstMatrix dy, ConstMatrix x, Matrix dw) {
  requireShape(dy.rows == x.rows && dw.rows == dy.cols && dw.cols == x.cols, "linearBackwardWeight");
  blas::gemm(Transpose::kYes, Transpose::kNo, dy.cols, x.cols, dy.rows, 1.0F, dy.data, dy.cols, x.data, x.cols, 1.0F, dw.data, dw.cols);
}

}  // namespace qccl::train
