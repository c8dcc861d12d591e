#include "activations/captured_activations.hpp"

#include <qccl/packed.h>

#include <algorithm>
#include <cmath>

#include "model/error.hpp"
#include "model/llama.hpp"

namespace qccl::train {
namespace {

void check(qcclResult_t result) {
  if (result != qcclSuccess) failTrain("captured activations: ", qcclGetLastError(nullptr));
}

// Takes copies of what forward saves. There is no backward after it.
class Capture final : public ActivationKeeper {
 public:
  explicit Capture(CapturedActivations* captured) : captured_(*captured) {}

  void begin(const ModelConfig& config, std::int64_t rows) override {
    captured_.config = config;
    captured_.rows = rows;
    captured_.layers.clear();
  }
  void save(std::size_t, const LayerActivations& t) override {
    const Matrix matrices[kSavedKinds.size()] = {t.xhat1, t.q, t.k, t.v, t.o, t.xhat2, t.gate, t.up};
    CapturedActivations::Layer layer;
    for (std::size_t i = 0; i < kSavedKinds.size(); ++i) {
      layer.tensors[i].assign(matrices[i].data, matrices[i].data + matrices[i].rows * matrices[i].cols);
    }
    layer.rstd1.assign(t.rstd1, t.rstd1 + captured_.rows);
    layer.rstd2.assign(t.rstd2, t.rstd2 + captured_.rows);
    captured_.layers.push_back(std::move(layer));
  }
  void restore(std::size_t, const LayerActivations&) override {
    failTrain("captured activations are copies for measurements: there is no backward from them");
  }
  bool recomputesStatistics() const override { return false; }
  std::size_t bytes() const override { return 0; }

 private:
  CapturedActivations& captured_;
};

}  // namespace

CapturedActivations captureActivations(const Parameters& weights, const ModelConfig& config, Ops& ops, const TokenBatch& batch) {
  CapturedActivations captured;
  captured.seqLen = batch.seqLen;
  Capture capture(&captured);
  Llama model(config, ops, {.keeper = &capture});
  std::copy(weights.values().begin(), weights.values().end(), model.parameters().values().begin());
  (void)model.forward(batch.tokens, batch.targets, batch.sequences, batch.seqLen);
  return captured;
}

std::vector<float> roundTrip(std::span<const float> values, const qcclPackedFormat_t& format) {
  std::vector<float> decoded(values.begin(), values.end());
  if (format.codec == qcclCodecNone) return decoded;
  std::size_t bytes = 0;
  check(qcclPackedBytes(values.size(), &format, &bytes));
  struct alignas(16) Chunk {
    std::byte bytes[16];
  };
  std::vector<Chunk> packed((bytes + sizeof(Chunk) - 1) / sizeof(Chunk));
  check(qcclQuantize(values.data(), packed.data(), values.size(), qcclFloat32, &format, nullptr, nullptr));
  check(qcclDequantize(packed.data(), decoded.data(), values.size(), qcclFloat32, &format, nullptr));
  return decoded;
}

double relativeError(const qcclPackedFormat_t& format) {
  if (format.codec == qcclCodecNone) return 0;
  double relative = 0;  // the all-reduce in which every value is quantized once
  check(qcclGetErrorBound(qcclAlgoOneshot, static_cast<qcclCodec_t>(format.codec), static_cast<qcclScale_t>(format.scale), qcclRoundNearest,
                          2, &relative));
  return relative;
}

std::vector<double> errorLimits(std::span<const float> values, const qcclPackedFormat_t& format) {
  std::vector<double> limits(values.size());
  const double relative = relativeError(format);
  const std::size_t block = format.blockElems == 0 || format.codec == qcclCodecBf16 ? 1 : static_cast<std::size_t>(format.blockElems);
  for (std::size_t begin = 0; begin < values.size(); begin += block) {
    const std::size_t end = std::min(begin + block, values.size());
    float largest = 0;
    for (std::size_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(values[i]));
    std::fill(limits.begin() + static_cast<std::ptrdiff_t>(begin), limits.begin() + static_cast<std::ptrdiff_t>(end),
              relative * static_cast<double>(largest));
  }
  return limits;
}

}  // namespace qccl::train
