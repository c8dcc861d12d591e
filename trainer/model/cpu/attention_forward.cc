#include <cmath>

#include "model/cpu/attention.hpp"
#include "model/cpu/blas.hpp"

namespace qccl::train {

using attention::QueryBlock;
using blas::Transpose;

void CpuOps::attentionForward(const AttentionShape& s, ConstMatrix q, ConstMatrix k, ConstMatrix v, Matrix o, float* lse) {
  attention::requireAttention(s, q, k, v, o, "attentionForward");
  const float scale = 1.0F / std::sqrt(static_cast<float>(s.headDim));
  const std::int64_t group = s.heads / s.kvHeads;
  float* scores = workspace(static_cast<std::size_t>(attention::kQueryBlock * s.keyLen));

  for (std::int64_t b = 0; b < s.batch; ++b) {
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const float* keys = k.data + b * s.keyLen * k.cols + h / group * s.headDim;
      const float* values = v.data + b * s.keyLen * v.cols + h / group * s.headDim;
      for (std::int64_t first = 0; first < s.queryLen; first += attention::kQueryBlock) {
        const QueryBlock block = attention::queryBlock(s, first);
        const std::int64_t row = b * s.queryLen + first;
        float* out = o.data + row * o.cols + h * s.headDim;
        blas::gemm(Transpose::kNo, Transpose::kYes, block.count, block.keys, s.headDim, scale, q.data + row * q.cols + h * s.headDim,
                   q.cols, keys, k.cols, 0.0F, scores, block.keys);
        float sums[attention::kQueryBlock];
        for (std::int64_t r = 0; r < block.count; ++r) {
          const float maximum = kernels_.softmaxRow(scores + r * block.keys, block.visible + r, block.keys, &sums[r]);
          lse[(row + r) * s.heads + h] = maximum + std::log(sums[r]);
        }
        blas::gemm(Transpose::kNo, Transpose::kNo, block.count, s.headDim, block.keys, 1.0F, scores, block.keys, values, v.cols, 0.0F, out,
                   o.cols);
        for (std::int64_t r = 0; r < block.count; ++r) kernels_.scale(out + r * o.cols, 1.0F / sums[r], s.headDim);
      }
    }
  }
}

}  // namespace qccl::train
