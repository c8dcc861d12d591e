#include "model/activations.hpp"

#include <algorithm>

namespace qccl::train {
namespace {

constexpr std::size_t kAlignElems = 16;  // 64 bytes of FP32

// Cuts an arena into aligned pieces. Run once with no arena to learn the size, then with one.
class Carver {
 public:
  explicit Carver(float* base) : base_(base) {}

  float* take(std::int64_t elems) {
    float* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (static_cast<std::size_t>(elems) + kAlignElems - 1) / kAlignElems * kAlignElems;
    return piece;
  }
  Matrix take(std::int64_t rows, std::int64_t cols) { return {take(rows * cols), rows, cols}; }
  std::size_t used() const { return used_; }

 private:
  float* base_;
  std::size_t used_ = 0;
};

}  // namespace

std::int64_t Activations::savedElemsPerRow(const ModelConfig& c) {
  return 2 * c.hidden + 2 * c.queryWidth() + 2 * c.kvWidth() + 2 * c.ffn + c.heads + 2;
}

void Activations::shape(std::int64_t batch, std::int64_t seqLen, std::int64_t chunkRows) {
  if (batch == batch_ && seqLen == seqLen_ && chunkRows == chunkRows_) return;
  batch_ = batch;
  seqLen_ = seqLen;
  chunkRows_ = chunkRows;
  layers_.resize(sharesLayers_ ? 1 : static_cast<std::size_t>(config_.layers));

  const std::int64_t rows = this->rows(), h = config_.hidden, a = config_.queryWidth(), k = config_.kvWidth(), f = config_.ffn;
  const auto carve = [&](float* base) {
    Carver carver(base);
    for (LayerActivations& layer : layers_) {
      layer.xhat1 = carver.take(rows, h);
      layer.q = carver.take(rows, a);
      layer.k = carver.take(rows, k);
      layer.v = carver.take(rows, k);
      layer.o = carver.take(rows, a);
      layer.xhat2 = carver.take(rows, h);
      layer.gate = carver.take(rows, f);
      layer.up = carver.take(rows, f);
      layer.rstd1 = carver.take(rows);
      layer.rstd2 = carver.take(rows);
      layer.lse = carver.take(rows * config_.heads);
    }
    stream = carver.take(rows, h);
    xhatFinal = carver.take(rows, h);
    normFinal = carver.take(rows, h);
    rstdFinal = carver.take(rows);
    lossLse = carver.take(rows);
    norm = carver.take(rows, h);
    dNorm = carver.take(rows, h);
    product = carver.take(rows, f);
    dProduct = carver.take(rows, f);
    dO = carver.take(rows, a);
    dQ = carver.take(rows, a);
    dK = carver.take(rows, k);
    dV = carver.take(rows, k);
    logits = carver.take(chunkRows, config_.vocab);
    return carver.used();
  };

  const std::size_t needed = carve(nullptr);
  if (needed > arena_.elems()) {
    arena_ = Buffer<float>();  // give back before taking more
    arena_ = Buffer<float>(ops_, needed);
  }
  if (static_cast<std::size_t>(rows) > tokens_.elems()) {
    tokens_ = Buffer<std::int32_t>(ops_, static_cast<std::size_t>(rows));
    targets_ = Buffer<std::int32_t>(ops_, static_cast<std::size_t>(rows));
  }
  carve(arena_.data());
}

}  // namespace qccl::train
