#include <cmath>
#include <cstring>

#include "model/cpu/ops_impl.hpp"

namespace qccl::train {

LossSum CpuOps::crossEntropyForward(ConstMatrix logits, const std::int32_t* targets, float* lse) {
  LossSum sum;
  for (std::int64_t r = 0; r < logits.rows; ++r) {
    const float* row = logits.data + r * logits.cols;
    float maximum = 0;
    const float total = kernels_.expSum(row, logits.cols, &maximum);
    lse[r] = maximum + std::log(total);
    if (targets[r] >= 0) {
      // From the maximum, not from lse: the small difference of two large numbers would lose digits.
      sum.total += std::log(static_cast<double>(total)) - (static_cast<double>(row[targets[r]]) - static_cast<double>(maximum));
      ++sum.count;
    }
  }
  return sum;
}

void CpuOps::crossEntropyBackward(Matrix logits, const std::int32_t* targets, const float* lse, float scale) {
  for (std::int64_t r = 0; r < logits.rows; ++r) {
    float* row = logits.data + r * logits.cols;
    if (targets[r] >= 0) {
      kernels_.expScaled(row, logits.cols, lse[r], scale);
      row[targets[r]] -= scale;
    } else {
      std::memset(row, 0, static_cast<std::size_t>(logits.cols) * sizeof(float));
    }
  }
}

}  // namespace qccl::train
