#include "activations/format_errors.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "model/error.hpp"

namespace qccl::train {
namespace {

// The nearest BF16 numbers that are not above, and not below.
float bfloat16Below(float x) {
  const auto cut = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xFFFF0000U);  // towards 0
  return cut <= x ? cut : std::bit_cast<float>(std::bit_cast<std::uint32_t>(cut) + 0x10000U);
}
float bfloat16Above(float x) { return -bfloat16Below(-x); }

double bitsAValueOf(const qcclPackedFormat_t& format) {
  constexpr std::size_t kElems = 16 * 4096;  // whole frames of any block: no padding
  std::size_t bytes = 0;
  if (qcclPackedBytes(kElems, &format, &bytes) != qcclSuccess) failTrain("formats of saved activations: ", qcclGetLastError(nullptr));
  return 8 * static_cast<double>(bytes) / static_cast<double>(kElems);
}

// Calls work(least, largest, values, place in restored) for each block.
template <typename Work>
std::vector<float> byBlock(std::span<const float> values, int blockElems, Work&& work) {
  std::vector<float> restored(values.size());
  const auto block = static_cast<std::size_t>(blockElems);
  for (std::size_t begin = 0; begin < values.size(); begin += block) {
    const auto part = values.subspan(begin, std::min(block, values.size() - begin));
    const auto [least, most] = std::minmax_element(part.begin(), part.end());
    work(*least, *most, part, restored.data() + begin);
  }
  return restored;
}

float nearestCode(float steps, float least, float most) { return std::clamp(std::nearbyint(steps), least, most); }

std::array<Matrix, kSavedKinds.size()> matricesOf(const LayerActivations& t) {
  return {t.xhat1, t.q, t.k, t.v, t.o, t.xhat2, t.gate, t.up};
}

}  // namespace

double relativeDifference(std::span<const float> exact, std::span<const float> other) {
  double error = 0, square = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double x = exact[i], e = static_cast<double>(other[i]) - x;
    error += e * e;
    square += x * x;
  }
  return square > 0 ? std::sqrt(error / square) : 0;
}

std::vector<float> roundTripWithZero(std::span<const float> values, int bits, int blockElems) {
  const auto steps = static_cast<float>((1 << bits) - 1);
  return byBlock(values, blockElems, [&](float least, float most, std::span<const float> part, float* restored) {
    const float zero = bfloat16Below(least), step = bfloat16Above((most - zero) / steps);
    for (const float x : part) *restored++ = step > 0 ? std::fma(nearestCode((x - zero) / step, 0, steps), step, zero) : zero;
  });
}

std::vector<float> roundTripSigned(std::span<const float> values, int bits, int blockElems) {
  const auto most = static_cast<float>(1 << (bits - 1));  // codes -most to most - 1
  return byBlock(values, blockElems, [&](float lowest, float highest, std::span<const float> part, float* restored) {
    const float larger = std::max(-lowest, highest), smaller = std::min(-lowest, highest);
    const float size = bfloat16Above(std::max(larger / most, smaller / (most - 0.5F)));
    const float step = highest > -lowest ? -size : size;
    for (const float x : part) *restored++ = size > 0 ? nearestCode(x / step, -most, most - 1) * step : 0.0F;
  });
}

std::vector<TriedFormat> triedFormats(qcclScale_t scale) {
  constexpr int kBits = 4;
  std::vector<TriedFormat> formats;
  for (const int block : {32, 64, 128, 256}) {
    const auto add = [&](const char* name, int codec) {
      const qcclPackedFormat_t format{codec, scale, block};
      formats.push_back({name, block, bitsAValueOf(format), [format](std::span<const float> values) { return roundTrip(values, format); }});
    };
    add("int4", qcclCodecInt4);
    formats.push_back({"int4, zero point", block, kBits + 2 * 16.0 / block,
                       [block](std::span<const float> values) { return roundTripWithZero(values, kBits, block); }});
    formats.push_back({"int4, signed", block, kBits + 16.0 / block,
                       [block](std::span<const float> values) { return roundTripSigned(values, kBits, block); }});
    add("fp4", qcclCodecFp4E2m1);
    add("int5", qcclCodecInt5);
    add("int6", qcclCodecInt6);
    add("fp8", qcclCodecFp8E4m3);
    add("int8", qcclCodecInt8);
  }
  return formats;
}

KindErrors tensorErrors(const CapturedActivations& captured, const TriedFormat& format) {
  KindErrors errors{};
  for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) {
    double squares = 0;
    for (const CapturedActivations::Layer& layer : captured.layers) {
      const double relative = relativeDifference(layer.tensors[kind], format.roundTrip(layer.tensors[kind]));
      squares += relative * relative;
    }
    errors[kind] = std::sqrt(squares / static_cast<double>(captured.layers.size()));
  }
  return errors;
}

// Gives back what it was given, in FP32, but for one kind, which has gone through a format.
class FormatProbe::Keeper final : public ActivationKeeper {
 public:
  void use(const TriedFormat* format, std::size_t kind) {
    format_ = format;
    kind_ = kind;
  }
  void begin(const ModelConfig& config, std::int64_t rows) override {
    rows_ = static_cast<std::size_t>(rows);
    heads_ = static_cast<std::size_t>(config.heads);
    layers_.clear();
  }
  void save(std::size_t, const LayerActivations& t) override {
    std::vector<std::vector<float>> kept;
    for (const Matrix& each : matricesOf(t)) {
      const std::span<const float> values(each.data, static_cast<std::size_t>(each.rows * each.cols));
      const bool tried = format_ != nullptr && kept.size() == kind_;
      kept.push_back(tried ? format_->roundTrip(values) : std::vector<float>(values.begin(), values.end()));
    }
    for (const float* statistics : {t.rstd1, t.rstd2}) kept.emplace_back(statistics, statistics + rows_);
    kept.emplace_back(t.lse, t.lse + rows_ * heads_);
    layers_.push_back(std::move(kept));
  }
  void restore(std::size_t layer, const LayerActivations& t) override {
    std::vector<float*> places;
    for (const Matrix& each : matricesOf(t)) places.push_back(each.data);
    places.insert(places.end(), {t.rstd1, t.rstd2, t.lse});
    for (std::size_t i = 0; i < places.size(); ++i) std::copy(layers_[layer][i].begin(), layers_[layer][i].end(), places[i]);
  }
  bool recomputesStatistics() const override { return format_ != nullptr && (kind_ == 1 || kind_ == 2); }
  std::size_t bytes() const override { return 0; }

 private:
  const TriedFormat* format_ = nullptr;
  std::size_t kind_ = 0, rows_ = 0, heads_ = 0;
  std::vector<std::vector<std::vector<float>>> layers_;
};

FormatProbe::FormatProbe(const Parameters& weights, const ModelConfig& config, Ops& ops, const TokenBatch& batch)
    : batch_(batch), keeper_(std::make_unique<Keeper>()), model_(config, ops, {.keeper = keeper_.get()}) {
  std::copy(weights.values().begin(), weights.values().end(), model_.parameters().values().begin());
  exact_ = run(nullptr, 0);
}

FormatProbe::~FormatProbe() = default;

std::vector<float> FormatProbe::run(const TriedFormat* format, std::size_t kind) {
  keeper_->use(format, kind);
  model_.parameters().zeroGradients();
  (void)model_.forward(batch_.tokens, batch_.targets, batch_.sequences, batch_.seqLen);
  model_.backward(1.0F);
  const auto gradients = model_.parameters().gradients();
  return {gradients.begin(), gradients.end()};
}

KindErrors FormatProbe::gradientErrors(const TriedFormat& format) {
  KindErrors errors{};
  for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) errors[kind] = relativeDifference(exact_, run(&format, kind));
  return errors;
}

std::string formatTable(const std::vector<TriedFormat>& formats, const std::vector<KindErrors>& errors) {
  std::string text = "block  format            bits a value";
  char cell[64];
  for (const char* kind : kSavedKinds) {
    std::snprintf(cell, sizeof(cell), "%9s", kind);
    text += cell;
  }
  text += '\n';
  for (std::size_t i = 0; i < formats.size(); ++i) {
    std::snprintf(cell, sizeof(cell), "%5d  %-17s %12.3f", formats[i].blockElems, formats[i].name.c_str(), formats[i].bitsAValue);
    text += cell;
    for (const double each : errors[i]) {
      std::snprintf(cell, sizeof(cell), "%9.4f", each);
      text += cell;
    }
    text += '\n';
  }
  return text;
}

}  // namespace qccl::train
