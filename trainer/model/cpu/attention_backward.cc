#include <cmath>
#include <cstring>

#include "model/cpu/attention.hpp"
#include "model/cpu/blas.hpp"

namespace qccl::train {

using attention::QueryBlock;
using blas::Transpose;

// With P the probabilities, made again from scores and lse, and delta_r = sum(dO_r * O_r):
//   dV += P^T dO    dP = dO V^T    dS = scale * P * (dP - delta)    dQ = dS K    dK += dS^T Q
// The heads that share a K/V head add to the same dK and dV, in order.
void CpuOps::attentionBackward(const AttentionShape& s, ConstMatrix q, ConstMatrix k, ConstMatrix v, ConstMatrix o, const float* lse,
                               ConstMatrix dO, Matrix dq, Matrix dk, Matrix dv) {
  attention::requireAttention(s, q, k, v, o, "attentionBackward");
  attention::requireAttention(s, dq, dk, dv, dO, "attentionBackward");
  const float scale = 1.0F / std::sqrt(static_cast<float>(s.headDim));
  const std::int64_t group = s.heads / s.kvHeads;
  const std::int64_t tile = attention::kQueryBlock * s.keyLen;
  float* scores = workspace(static_cast<std::size_t>(2 * tile));
  float* dScores = scores + tile;
  zero(dk.data, static_cast<std::size_t>(dk.rows * dk.cols) * sizeof(float));
  zero(dv.data, static_cast<std::size_t>(dv.rows * dv.cols) * sizeof(float));

  for (std::int64_t b = 0; b < s.batch; ++b) {
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const std::int64_t keyAt = b * s.keyLen * k.cols + h / group * s.headDim;
      for (std::int64_t first = 0; first < s.queryLen; first += attention::kQueryBlock) {
        const QueryBlock block = attention::queryBlock(s, first);
        const std::int64_t row = b * s.queryLen + first;
        const std::int64_t queryAt = row * q.cols + h * s.headDim;
        blas::gemm(Transpose::kNo, Transpose::kYes, block.count, block.keys, s.headDim, scale, q.data + queryAt, q.cols, k.data + keyAt,
                   k.cols, 0.0F, scores, block.keys);
        blas::gemm(Transpose::kNo, Transpose::kYes, block.count, block.keys, s.headDim, 1.0F, dO.data + queryAt, dO.cols, v.data + keyAt,
                   v.cols, 0.0F, dScores, block.keys);
        for (std::int64_t r = 0; r < block.count; ++r) {
          const float delta = kernels_.dot(dO.data + queryAt + r * dO.cols, o.data + queryAt + r * o.cols, s.headDim);
          kernels_.softmaxBackwardRow(scores + r * block.keys, dScores + r * block.keys, block.visible + r, block.keys,
                                      lse[(row + r) * s.heads + h], delta, scale);
        }
        blas::gemm(Transpose::kYes, Transpose::kNo, block.keys, s.headDim, block.count, 1.0F, scores, block.keys, dO.data + queryAt,
                   dO.cols, 1.0F, dv.data + keyAt, dv.cols);
        blas::gemm(Transpose::kNo, Transpose::kNo, block.count, s.headDim, block.keys, 1.0F, dScores, block.keys, k.data + keyAt, k.cols,
                   0.0F, dq.data + queryAt, dq.cols);
        blas::gemm(Transpose::kYes, Transpose::kNo, block.keys, s.headDim, block.count, 1.0F, dScores, block.keys, q.data + queryAt, q.cols,
                   1.0F, dk.data + keyAt, dk.cols);
      }
    }
  }
}

}  // namespace qccl::train
