// What forward leaves for backward, and the scratch of both.
//
// Saved per layer and row (FP32 elements; h = hidden, a = heads * headDim, k = kvHeads * headDim, f = ffn, n = heads):
//   xhat1 h, rstd1 1 | q a, k k, v k (after rotation) | o a, lse n | xhat2 h, rstd2 1 | gate f, up f          = 2h + 2a + 2k + 2f + n + 2
// The residual stream is not saved: xhat and rstd are enough for RMSNorm's backward, and the products that the weight gradients need (xhat
// * weight, SwiGLU) are recomputed element by element.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/config.hpp"
#include "model/ops.hpp"

namespace qccl::train {

struct LayerActivations {
  Matrix xhat1, q, k, v, o, xhat2, gate, up;
  float *rstd1 = nullptr, *rstd2 = nullptr, *lse = nullptr;
};

class Activations {
 public:
  // Nothing is allocated before shape(). sharesLayers: all layers have the same memory, because each one's tensors are kept elsewhere.
  Activations(const ModelConfig& config, Ops& ops, bool sharesLayers) : config_(config), ops_(ops), sharesLayers_(sharesLayers) {}

  // Lays out views for batch * seqLen rows, and logits for chunkRows of them; allocates only what no earlier shape needed.
  void shape(std::int64_t batch, std::int64_t seqLen, std::int64_t chunkRows);

  std::int64_t batch() const { return batch_; }
  std::int64_t seqLen() const { return seqLen_; }
  std::int64_t rows() const { return batch_ * seqLen_; }
  std::int64_t chunkRows() const { return chunkRows_; }
  std::size_t totalBytes() const { return arena_.elems() * sizeof(float) + 2 * tokens_.elems() * sizeof(std::int32_t); }
  static std::int64_t savedElemsPerRow(const ModelConfig& config);  // of one layer

  LayerActivations& layer(std::size_t i) { return layers_[sharesLayers_ ? 0 : i]; }

  // The residual stream in forward, its gradient in backward; rows x hidden.
  Matrix stream;
  // Final norm.
  Matrix xhatFinal, normFinal;
  float* rstdFinal = nullptr;
  float* lossLse = nullptr;  // a row each
  // Scratch of one layer.
  Matrix norm, dNorm, product, dProduct, dO, dQ, dK, dV;
  // chunkRows x vocab
  Matrix logits;

  std::int32_t* tokens() { return tokens_.data(); }
  std::int32_t* targets() { return targets_.data(); }

 private:
  ModelConfig config_;
  Ops& ops_;
  bool sharesLayers_;
  std::int64_t batch_ = 0, seqLen_ = 0, chunkRows_ = 0;
  Buffer<float> arena_;
  Buffer<std::int32_t> tokens_, targets_;
  std::vector<LayerActivations> layers_;
};

}  // namespace qccl::train
