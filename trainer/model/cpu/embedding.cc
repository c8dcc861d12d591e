#include <cstring>

#include "model/cpu/ops_impl.hpp"

namespace qccl::train {

void CpuOps::embeddingForward(const std::int32_t* tokens, ConstMatrix table, Matrix out) {
  requireShape(table.cols == out.cols, "embeddingForward");
  for (std::int64_t r = 0; r < out.rows; ++r) {
    std::memcpy(out.data + r * out.cols, table.data + tokens[r] * table.cols, static_cast<std::size_t>(out.cols) * sizeof(float));
  }
}

void CpuOps::embeddingBackward(const std::int32_t* tokens, ConstMatrix dOut, Matrix dTable) {
  requireShape(dTable.cols == dOut.cols, "embeddingBackward");
  for (std::int64_t r = 0; r < dOut.rows; ++r) kernels_.add(dOut.data + r * dOut.cols, dTable.data + tokens[r] * dTable.cols, dOut.cols);
}

}  // namespace qccl::train
