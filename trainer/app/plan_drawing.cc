#include "app/plan_drawing.hpp"

#include <algorithm>
#include <cstdio>

#include "activations/sensitivity.hpp"
#include "app/svg.hpp"

namespace qccl::train {
namespace {

constexpr double kLeft = 84, kGridWidth = 740, kRight = 136, kTop = 92, kWidth = kLeft + kGridWidth + kRight;
constexpr double kStageHeight = 44, kBarHeight = 20;

constexpr auto kMiddle = Svg::Anchor::kMiddle;
constexpr auto kEnd = Svg::Anchor::kEnd;

struct Colour {
  const char* name;
  const char* fill;
  const char* ink;
};

// Integers blue, the more bits the darker; floats amber.
Colour colourOf(int bits, bool isFloat) {
  switch (bits) {
    case 4:
      return isFloat ? Colour{"fp4", "#fde68a", "#0f172a"} : Colour{"4", "#dbeafe", "#0f172a"};
    case 5:
      return {"5", "#b6d3fb", "#0f172a"};
    case 6:
      return {"6", "#7fb2f5", "#0f172a"};
    case 8:
      return isFloat ? Colour{"fp8", "#f59e0b", "#0f172a"} : Colour{"8", "#3b7fe0", "#ffffff"};
    case 16:
      return {"16", "#1e3f8f", "#ffffff"};
    default:
      return {"32", "#0f172a", "#ffffff"};
  }
}

class Drawing {
 public:
  Drawing(const ActivationPlan& plan, const ModelConfig& config, std::int64_t rows)
      : plan_(plan), config_(config), rows_(rows), layers_(static_cast<std::size_t>(config.layers)), rowHeight_(layers_ > 16 ? 14 : 24) {
    // As wide as the values of a token, but wide enough to be told apart and named.
    constexpr double kLeast = 44;
    double all = 0;
    for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) all += static_cast<double>(savedWidth(kind, config));
    double shared = kGridWidth - kLeast * kSavedKinds.size(), at = kLeft;
    for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) {
      left_.push_back(at);
      at += kLeast + shared * static_cast<double>(savedWidth(kind, config)) / all;
    }
    left_.push_back(at);
  }

  std::string draw(const std::vector<StagePlan>& stages) {
    grid();
    legend();
    double bottom = kTop + static_cast<double>(layers_) * rowHeight_ + 44;
    if (!stages.empty()) bottom = drawStages(stages, bottom + 22);
    return svg_.file(kWidth, bottom);
  }

 private:
  bool isFloat(std::size_t kind) const { return plan_.byLayer.empty() && plan_.floats[kind]; }
  double bytesOf(std::size_t layer, std::size_t kind) const {
    return static_cast<double>(storedBytes(rows_ * savedWidth(kind, config_), plan_.bitsOf(layer, kind), plan_));
  }
  double centre(std::size_t kind) const { return (left_[kind] + left_[kind + 1]) / 2; }

  void grid() {
    std::vector<double> byKind(kSavedKinds.size());
    double total = 0, inBf16 = 0;
    for (std::size_t layer = 0; layer < layers_; ++layer) {
      const double y = kTop + static_cast<double>(layer) * rowHeight_;
      double ofLayer = 0;
      for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) {
        cell(layer, kind, y);
        ofLayer += bytesOf(layer, kind);
        byKind[kind] += bytesOf(layer, kind);
        inBf16 += 2 * static_cast<double>(rows_ * savedWidth(kind, config_));
      }
      total += ofLayer;
      const double base = y + rowHeight_ / 2 + 4;
      svg_.text(kLeft - 8, base, "layer " + std::to_string(layer), {kEnd, 11});
      svg_.text(kLeft + kGridWidth + 10, base, bytesText(ofLayer), {Svg::Anchor::kStart, 11});
    }
    for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) {
      svg_.text(centre(kind), kTop - 8, kSavedKinds[kind], {kMiddle, 13, true});
      // The amount above, the unit below: columns of few values are narrow.
      const std::string bytes = bytesText(byKind[kind]);
      const std::size_t space = bytes.find(' ');
      const double y = kTop + static_cast<double>(layers_) * rowHeight_;
      svg_.text(centre(kind), y + 16, bytes.substr(0, space), {kMiddle, 11});
      svg_.text(centre(kind), y + 30, bytes.substr(space + 1), {kMiddle, 11});
    }
    svg_.text(kLeft - 8, kTop + static_cast<double>(layers_) * rowHeight_ + 16, "all layers", {kEnd, 11});
    svg_.text(kLeft + kGridWidth + 10, kTop + static_cast<double>(layers_) * rowHeight_ + 16, bytesText(total),
              {Svg::Anchor::kStart, 13, true});
    svg_.text(20, 28, "Saved activations, plan " + plan_.name, {Svg::Anchor::kStart, 17, true});
    char share[48];
    std::snprintf(share, sizeof(share), " (%.3f of it)", total / inBf16);
    svg_.text(20, 50,
              "a micro-batch of " + std::to_string(rows_) + " tokens: codes and scales " + bytesText(total) + ", in bf16 " +
                  bytesText(inBf16) + share,
              {Svg::Anchor::kStart, 13});
  }

  void cell(std::size_t layer, std::size_t kind, double y) {
    const Colour colour = colourOf(plan_.bitsOf(layer, kind), isFloat(kind));
    svg_.box(left_[kind], y, left_[kind + 1] - left_[kind], rowHeight_, colour.fill,
             "layers." + std::to_string(layer) + '.' + kSavedKinds[kind] + ": " + colour.name + ", " + bytesText(bytesOf(layer, kind)));
    svg_.text(centre(kind), y + rowHeight_ / 2 + 4, colour.name, {kMiddle, 11, false, colour.ink});
  }

  // Of the widths that there are.
  void legend() {
    constexpr std::pair<int, bool> kAll[] = {{32, false}, {16, false}, {8, false}, {8, true},
                                             {6, false},  {5, false},  {4, false}, {4, true}};
    double right = kWidth - 20;
    for (const auto& [bits, isFloat] : kAll) {
      if (!uses(bits, isFloat)) continue;
      const Colour colour = colourOf(bits, isFloat);
      svg_.box(right - 34, 14, 34, 20, colour.fill);
      svg_.text(right - 17, 28, colour.name, {kMiddle, 11, false, colour.ink});
      right -= 36;
    }
    svg_.text(right - 6, 28, "bits a value", {kEnd, 12});
  }

  bool uses(int bits, bool isFloatCode) const {
    for (std::size_t layer = 0; layer < layers_; ++layer) {
      for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) {
        if (plan_.bitsOf(layer, kind) == bits && isFloat(kind) == isFloatCode) return true;
      }
    }
    return false;
  }

  // A bar of as many boxes as chunks are in flight, as long as their bytes. Gives back where the picture ends.
  double drawStages(const std::vector<StagePlan>& stages, double top) {
    double most = 0;
    for (const StagePlan& each : stages) most = std::max(most, static_cast<double>(each.peakBytes));
    const auto first = static_cast<double>(stages.front().peakBytes);
    svg_.text(20, top, "Peak of each pipeline stage: chunks in flight", {Svg::Anchor::kStart, 15, true});
    for (std::size_t s = 0; s < stages.size(); ++s) {
      const StagePlan& stage = stages[s];
      const double y = top + 34 + static_cast<double>(s) * kStageHeight;
      const double width = most > 0 ? kGridWidth * static_cast<double>(stage.chunkBytes) / most : 0;
      char words[64];
      std::snprintf(words, sizeof(words), "%.2f bits a value", stage.bitsAValue);
      const Colour colour = colourOf(nearestWidth(stage.bitsAValue), false);
      for (std::int64_t chunk = 0; chunk < stage.inFlight; ++chunk) {
        svg_.box(kLeft + width * static_cast<double>(chunk), y, width, kBarHeight, colour.fill,
                 "stage " + std::to_string(s) + ": a chunk of " + bytesText(static_cast<double>(stage.chunkBytes)) + ", " + words);
      }
      const double base = y + kBarHeight / 2 + 4;
      svg_.text(kLeft - 8, base, "stage " + std::to_string(s), {kEnd, 11});
      svg_.text(kLeft, y - 5, std::to_string(stage.inFlight) + " x " + bytesText(static_cast<double>(stage.chunkBytes)) + ", " + words,
                {Svg::Anchor::kStart, 11});
      std::snprintf(words, sizeof(words), " (%.3f)", first > 0 ? static_cast<double>(stage.peakBytes) / first : 0.0);
      svg_.text(kLeft + kGridWidth + 10, base, bytesText(static_cast<double>(stage.peakBytes)) + words, {Svg::Anchor::kStart, 11});
    }
    const double bottom = top + 16 + static_cast<double>(stages.size()) * kStageHeight;
    const double limit = kLeft + (most > 0 ? kGridWidth * first / most : 0);
    svg_.line(limit, top + 26, limit, bottom, "#0f172a");
    return bottom + 16;
  }

  static int nearestWidth(double bits) { return bits < 4.5 ? 4 : bits < 5.5 ? 5 : bits < 7 ? 6 : bits < 12 ? 8 : bits < 24 ? 16 : 32; }

  const ActivationPlan& plan_;
  const ModelConfig& config_;
  std::int64_t rows_;
  std::size_t layers_;
  double rowHeight_;
  std::vector<double> left_;  // of each column, and where the last one ends
  Svg svg_;
};

}  // namespace

std::string bytesText(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 || bytes >= 100 ? "%.0f %s" : bytes >= 10 ? "%.1f %s" : "%.2f %s", bytes, kUnits[unit]);
  return text;
}

std::string drawPlan(const ActivationPlan& plan, const ModelConfig& config, std::int64_t rows, const std::vector<StagePlan>& stages) {
  return Drawing(plan, config, rows).draw(stages);
}

}  // namespace qccl::train
