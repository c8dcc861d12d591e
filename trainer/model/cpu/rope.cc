#include "model/cpu/ops_impl.hpp"

namespace qccl::train {
namespace {

void rotate(const simd::Kernels& kernels, Matrix x, const RopeTable& table, std::int64_t firstPosition, std::int64_t seqLen, float sign) {
  requireShape(table.halfDim > 0 && x.cols % (2 * table.halfDim) == 0 && firstPosition >= 0 && firstPosition + seqLen <= table.maxSeq,
               "rope");
  const std::int64_t heads = x.cols / (2 * table.halfDim);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const std::int64_t at = (firstPosition + r % seqLen) * table.halfDim;
    kernels.ropeRow(x.data + r * x.cols, table.cosine + at, table.sine + at, heads, table.halfDim, sign);
  }
}

}  // namespace

void CpuOps::ropeForward(Matrix x, const RopeTable& table, std::int64_t firstPosition, std::int64_t seqLen) {
  rotate(kernels_, x, table, firstPosition, seqLen, 1.0F);
}

void CpuOps::ropeBackward(Matrix dx, const RopeTable& table, std::int64_t firstPosition, std::int64_t seqLen) {
  rotate(kernels_, dx, table, firstPosition, seqLen, -1.0F);
}

}  // namespace qccl::train
