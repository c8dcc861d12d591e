#include "activations/activation_plan.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>

#include "model/error.hpp"

namespace qccl::train {
namespace {

constexpr const char* kUsage =
    "give exact, bf16, agoq, mixed, int4, int5, int6, int8, fp4, fp8, or bits by kind (xhat1, q, k, v, o, xhat2, gate, "
    "up, attention, rest; lse=32) such as attention=8,rest=4";

// What a tensor's values become.
struct Width {
  int bits = 0;
  bool isFloat = false;
};

bool isAttention(std::size_t kind) { return kind >= 1 && kind <= 4; }

KindBits bitsOf(int attention, int rest) {
  KindBits bits{};
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = isAttention(i) ? attention : rest;
  return bits;
}

std::optional<KindBits> namedPlan(const std::string& name) {
  if (name == "exact") return bitsOf(32, 32);
  if (name == "bf16") return bitsOf(16, 16);
  if (name == "agoq") return bitsOf(16, 4);
  if (name == "mixed") return bitsOf(8, 4);
  for (const int bits : {4, 5, 6, 8}) {
    if (name == "int" + std::to_string(bits)) return bitsOf(bits, bits);
  }
  return std::nullopt;
}

std::optional<Width> floatWidth(const std::string& name) {
  if (name == "fp4") return Width{4, true};
  if (name == "fp8") return Width{8, true};
  return std::nullopt;
}

Width readWidth(const std::string& text, const std::string& part) {
  for (const int bits : {4, 5, 6, 8, 16, 32}) {
    if (text == std::to_string(bits)) return {bits, false};
  }
  if (const auto width = floatWidth(text)) return *width;
  failTrain("'", part, "' in --activations: saved tensors are kept in 4, 5, 6, 8, 16 or 32 bits, fp4 or fp8");
}

// Sets the bits and floats, and whether lse is kept.
void readKinds(const std::string& text, ActivationPlan* plan, bool* keepsStatistics) {
  std::array<Width, kSavedKinds.size()> widths{};
  Width rest{16}, attention{};
  if (text.empty()) failTrain("--activations is empty; ", kUsage);
  std::istringstream parts(text);
  std::set<std::string> named;
  for (std::string part; std::getline(parts, part, ',');) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos) failTrain("'", text, "' is no plan for --activations; ", kUsage);
    const std::string kind = part.substr(0, equals);
    if (!named.insert(kind).second) failTrain("'", text, "' in --activations names ", kind, " twice");
    const Width value = readWidth(part.substr(equals + 1), part);
    const auto found = std::find(kSavedKinds.begin(), kSavedKinds.end(), kind);
    if (kind == "rest") {
      rest = value;
    } else if (kind == "lse") {
      if (value.bits != 32) failTrain("'", part, "' in --activations: lse is kept in 32 bits, or computed again");
      *keepsStatistics = true;
    } else if (kind == "attention") {
      attention = value;
    } else if (found != kSavedKinds.end()) {
      widths[static_cast<std::size_t>(found - kSavedKinds.begin())] = value;
    } else {
      failTrain("'", kind, "' in --activations is no kind of saved tensor; ", kUsage);
    }
  }
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (widths[i].bits == 0 && isAttention(i)) widths[i] = attention;
    if (widths[i].bits == 0) widths[i] = rest;
    plan->bits[i] = widths[i].bits;
    plan->floats[i] = widths[i].isFloat;
  }
}

}  // namespace

std::int64_t savedWidth(std::size_t kind, const ModelConfig& config) {
  const std::int64_t h = config.hidden, a = config.queryWidth(), k = config.kvWidth(), f = config.ffn;
  const std::int64_t widths[kSavedKinds.size()] = {h, a, k, k, a, h, f, f};
  return widths[kind];
}

bool ActivationPlan::isExact() const {
  return byLayer.empty() && std::all_of(bits.begin(), bits.end(), [](int each) { return each == 32; });
}

qcclPackedFormat_t formatOfBits(int bits, const ActivationPlan& plan) {
  const auto codec = [bits] {
    switch (bits) {
      case 4:
        return qcclCodecInt4;
      case 5:
        return qcclCodecInt5;
      case 6:
        return qcclCodecInt6;
      case 8:
        return qcclCodecInt8;
      case 16:
        return qcclCodecBf16;
      default:
        return qcclCodecNone;
    }
  };
  return {codec(), plan.scale, plan.blockElems};
}

qcclPackedFormat_t ActivationPlan::formatOf(std::size_t layer, std::size_t kind) const {
  const int width = bitsOf(layer, kind);
  if (byLayer.empty() && floats[kind]) return {width == 4 ? qcclCodecFp4E2m1 : qcclCodecFp8E4m3, scale, blockElems};
  return formatOfBits(width, *this);
}

bool losesBitsOfQOrK(const ActivationPlan& plan) {
  const auto loses = [](const KindBits& bits) { return bits[1] < 16 || bits[2] < 16; };
  return plan.byLayer.empty() ? loses(plan.bits) : std::any_of(plan.byLayer.begin(), plan.byLayer.end(), loses);
}

ActivationPlan parseActivationPlan(const std::string& text, int blockElems, const std::string& scale) {
  if (blockElems < 32 || blockElems > 4096 || (blockElems & (blockElems - 1)) != 0) {
    failTrain("--act-block ", blockElems, " is not a power of two from 32 to 4096");
  }
  const int scaleValue = qcclEnumValue(qcclEnumScale, scale.c_str());
  if (scaleValue < 0 || scaleValue >= qcclNumScales) failTrain("--act-scale ", scale, " is not one of float32, bfloat16, e8m0");
  if (text == "auto") {
    failTrain(
        "'auto' is no plan that is known beforehand: it is measured on a model and its data, by `qccl-train activations --checkpoint RUN "
        "--data FOLDER --act-budget BYTES`, or by `train --activations auto --act-budget BYTES`");
  }
  ActivationPlan plan;
  plan.name = text;
  bool keepsStatistics = false;
  if (const auto named = namedPlan(text)) {
    plan.bits = *named;
  } else if (const auto width = floatWidth(text)) {
    plan.bits.fill(width->bits);
    plan.floats.fill(true);
  } else {
    readKinds(text, &plan, &keepsStatistics);
  }
  plan.blockElems = blockElems;
  plan.scale = static_cast<qcclScale_t>(scaleValue);
  plan.recomputesStatistics = !keepsStatistics && losesBitsOfQOrK(plan);
  return plan;
}

}  // namespace qccl::train
