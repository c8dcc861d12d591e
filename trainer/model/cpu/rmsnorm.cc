#include "model/cpu/ops_impl.hpp"

namespace qccl::train {

void CpuOps::rmsNormForward(ConstMatrix x, const float* weight, float eps, Matrix xhat, float* rstd, Matrix y) {
  requireShape(x.rows == xhat.rows && x.cols == xhat.cols && x.rows == y.rows && x.cols == y.cols, "rmsNormForward");
  kernels_.rmsNormForward(x.data, weight, eps, x.rows, x.cols, xhat.data, rstd, y.data);
}

void CpuOps::rmsNormScale(ConstMatrix xhat, const float* weight, Matrix y) {
  requireShape(xhat.rows == y.rows && xhat.cols == y.cols, "rmsNormScale");
  kernels_.rmsNormScale(xhat.data, weight, xhat.rows, xhat.cols, y.data);
}

void CpuOps::rmsNormBackward(ConstMatrix dy, ConstMatrix xhat, const float* rstd, const float* weight, Matrix dx, float* dWeight) {
  requireShape(dy.rows == xhat.rows && dy.cols == xhat.cols && dy.rows == dx.rows && dy.cols == dx.cols, "rmsNormBackward");
  kernels_.rmsNormBackward(dy.data, xhat.data, rstd, weight, dy.rows, dy.cols, dx.data, dWeight);
}

}  // namespace qccl::train
