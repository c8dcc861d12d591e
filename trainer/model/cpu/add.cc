#include "model/cpu/ops_impl.hpp"

namespace qccl::train {

void CpuOps::add(ConstMatrix x, Matrix y) {
  requireShape(x.rows == y.rows && x.cols == y.cols, "add");
  kernels_.add(x.data, y.data, x.rows * x.cols);
}

}  // namespace qccl::train
