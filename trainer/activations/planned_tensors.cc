#include "activations/planned_tensors.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <tuple>

#include "activations/format_errors.hpp"

namespace qccl::train {
namespace {

using FormatKey = std::tuple<int, int, int>;

FormatKey keyOf(const qcclPackedFormat_t& format) { return {format.codec, format.scale, format.blockElems}; }

// "int4/128/bfloat16", "bf16", "float32"
std::string nameOf(const qcclPackedFormat_t& format) {
  if (format.codec == qcclCodecNone) return "float32";
  const std::string codec = qcclEnumName(qcclEnumCodec, format.codec);
  if (format.codec == qcclCodecBf16) return codec;
  return codec + '/' + std::to_string(format.blockElems) + '/' + qcclEnumName(qcclEnumScale, format.scale);
}

bool alike(const PlannedTensor& a, const PlannedTensor& b) { return a.kind == b.kind && keyOf(a.format) == keyOf(b.format); }

// The tensors of one layer.
using Layer = std::vector<PlannedTensor>;

std::vector<Layer> layersOf(const std::vector<PlannedTensor>& tensors) {
  std::vector<Layer> layers;
  for (const PlannedTensor& tensor : tensors) {
    const bool next = layers.empty() || layers.back().front().layer != tensor.layer;
    if (next) layers.emplace_back();
    layers.back().push_back(tensor);
  }
  return layers;
}

// "0-3,8": of layers in ascending order
std::string rangesOf(const std::vector<std::int64_t>& numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    text += (text.empty() ? "" : ",") + std::to_string(numbers[i]);
    if (last > i) text += '-' + std::to_string(numbers[last]);
    i = last + 1;
  }
  return text;
}

// Root of a sum of squares: of errors of the gradient as they are, of errors of values for all the values.
double errorOfAll(const std::vector<PlannedTensor>& tensors, bool ofGradient) {
  double squares = 0, elems = 0;
  for (const PlannedTensor& tensor : tensors) {
    const auto weight = ofGradient ? 1.0 : static_cast<double>(tensor.elems);
    squares += weight * tensor.error * tensor.error;
    elems += weight;
  }
  return ofGradient || elems == 0 ? std::sqrt(squares) : std::sqrt(squares / elems);
}

std::string line(const char* stage, const std::string& layers, const char* saved, const std::string& format, const std::string& each,
                 const std::string& all, const std::string& error) {
  char text[256];
  std::snprintf(text, sizeof(text), "%5s  %-15s %-6s %18s %14s %16s %9s\n", stage, layers.c_str(), saved, format.c_str(), each.c_str(),
                all.c_str(), error.c_str());
  return text;
}

std::string errorText(double error) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.5f", error);
  return text;
}

// A row for each kind of layers that are alike.
std::string rowsOf(const std::vector<const Layer*>& group, bool ofGradient) {
  std::vector<std::int64_t> numbers;
  for (const Layer* layer : group) numbers.push_back(layer->front().layer);
  std::string text;
  for (std::size_t i = 0; i < group.front()->size(); ++i) {
    std::vector<PlannedTensor> same;
    std::uint64_t bytes = 0;
    for (const Layer* layer : group) {
      same.push_back((*layer)[i]);
      bytes += same.back().bytes;
    }
    const PlannedTensor& first = same.front();
    text += line(std::to_string(first.stage).c_str(), rangesOf(numbers), kSavedKinds[first.kind], nameOf(first.format),
                 std::to_string(first.bytes), std::to_string(bytes), errorText(errorOfAll(same, ofGradient)));
  }
  return text;
}

}  // namespace

double expectedError(const qcclPackedFormat_t& format) {
  if (format.codec == qcclCodecNone) return 0;
  static std::map<FormatKey, double> known;
  if (const auto found = known.find(keyOf(format)); found != known.end()) return found->second;
  constexpr std::size_t kElems = 65536;
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(kElems);
  std::generate(values.begin(), values.end(), [&] { return normal(random); });
  return known[keyOf(format)] = relativeDifference(values, roundTrip(values, format));
}

std::vector<PlannedTensor> plannedTensors(const ModelConfig& config, std::int64_t rows, const ActivationPlan& plan,
                                          const PipelineShape& pipeline, const std::vector<StagePlan>& stages) {
  std::vector<PlannedTensor> tensors;
  const auto add = [&](std::int64_t stage, std::int64_t layer, std::size_t kind, int bits, const qcclPackedFormat_t& format) {
    const std::int64_t elems = rows * savedWidth(kind, config);
    tensors.push_back({stage, layer, kind, bits, format, elems, storedBytes(elems, bits, plan), expectedError(format)});
  };
  // As the plan says: all layers, or those of the first stage.
  const auto addPlanned = [&](std::int64_t layer) {
    const auto l = static_cast<std::size_t>(layer);
    for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) add(0, layer, kind, plan.bitsOf(l, kind), plan.formatOf(l, kind));
  };
  if (stages.empty()) {
    for (std::int64_t layer = 0; layer < config.layers; ++layer) addPlanned(layer);
    return tensors;
  }
  for (std::int64_t stage = 0; stage < pipeline.stages; ++stage) {
    const std::vector<KindBits>& kept = stages[static_cast<std::size_t>(stage)].byLayer;
    const auto layers = static_cast<std::int64_t>(kept.size());
    for (std::int64_t chunk = 0; chunk < pipeline.chunks; ++chunk) {
      for (std::int64_t i = 0; i < layers; ++i) {
        const std::int64_t layer = (chunk * pipeline.stages + stage) * layers + i;
        if (stage == 0) {
          addPlanned(layer);
          continue;
        }
        const KindBits& bits = kept[static_cast<std::size_t>(i)];
        for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) add(stage, layer, kind, bits[kind], formatOfBits(bits[kind], plan));
      }
    }
  }
  return tensors;
}

std::vector<PlannedTensor> plannedTensors(const ModelConfig& config, std::int64_t rows, const SolvedPlan& solved,
                                          const std::vector<Sensitivity>& sensitivities) {
  std::vector<PlannedTensor> tensors = plannedTensors(config, rows, solved.plan);
  for (PlannedTensor& tensor : tensors) {
    for (const Sensitivity& measured : sensitivities) {
      if (static_cast<std::int64_t>(measured.layer) != tensor.layer || measured.kind != tensor.kind) continue;
      for (const qcclBitChoice_t& choice : measured.choices) {
        if (choice.bits == tensor.bits) tensor.error = std::sqrt(choice.error);
      }
    }
  }
  return tensors;
}

std::string tensorTable(const std::vector<PlannedTensor>& tensors, bool ofGradient) {
  std::string text = line("stage", "layers", "saved", "format", "bytes a layer", "bytes", "error");
  const std::vector<Layer> layers = layersOf(tensors);
  std::vector<bool> shown(layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (shown[i]) continue;
    std::vector<const Layer*> group;
    for (std::size_t k = i; k < layers.size(); ++k) {
      const bool same = layers[k].front().stage == layers[i].front().stage &&
                        std::equal(layers[k].begin(), layers[k].end(), layers[i].begin(), layers[i].end(), alike);
      if (shown[k] || !same) continue;
      shown[k] = true;
      group.push_back(&layers[k]);
    }
    text += rowsOf(group, ofGradient);
  }
  std::uint64_t bytes = 0;
  for (const PlannedTensor& tensor : tensors) bytes += tensor.bytes;
  return text + line("all", "", "", "", "", std::to_string(bytes), errorText(errorOfAll(tensors, ofGradient)));
}

std::string tensorLines(const std::vector<PlannedTensor>& tensors) {
  std::string text;
  for (const PlannedTensor& t : tensors) {
    const nlohmann::ordered_json row = {{"stage", t.stage},
                                        {"layer", t.layer},
                                        {"saved", kSavedKinds[t.kind]},
                                        {"bits", t.bits},
                                        {"format", nameOf(t.format)},
                                        {"elems", t.elems},
                                        {"bytes", t.bytes},
                                        {"error", t.error}};
    text += row.dump() + '\n';
  }
  return text;
}

}  // namespace qccl::train
