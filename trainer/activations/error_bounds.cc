#include "activations/error_bounds.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace qccl::train {
namespace {

enum Kind : std::size_t { kXhat1, kQ, kK, kV, kO, kXhat2, kGate, kUp };

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

double norm(std::span<const double> values) {
  double sum = 0;
  for (const double each : values) sum += each * each;
  return std::sqrt(sum);
}

double norm(std::span<const float> values) { return std::sqrt(dot(values, values)); }

double largest(std::span<const float> values) {
  float result = 0;
  for (const float each : values) result = std::max(result, std::fabs(each));
  return static_cast<double>(result);
}

// What a plan makes of a tensor.
struct Tensor {
  Tensor(const CapturedActivations& captured, std::size_t layer, std::size_t kind, const ActivationPlan& plan)
      : width(static_cast<std::size_t>(savedWidth(kind, captured.config))),
        exact(captured.layers[layer].tensors[kind]),
        restored(roundTrip(exact, plan.formatOf(layer, kind))),
        limits(errorLimits(exact, plan.formatOf(layer, kind))) {}

  template <typename T>
  std::span<const T> part(const std::vector<T>& values, std::size_t row, std::size_t first, std::size_t count) const {
    return std::span<const T>(values).subspan(row * width + first, count);
  }

  std::size_t width;
  const std::vector<float>& exact;
  std::vector<float> restored;
  std::vector<double> limits;
};

class Summary {
 public:
  void add(double measured, double bound) {
    measured_ += measured * measured;
    bound_ += bound * bound;
    // Where nothing may change nothing has: 0 of 0.
    if (measured > 0) worst_ = std::max(worst_, measured / bound);
    ++count_;
  }
  BoundedError of(std::size_t layer, BoundedQuantity quantity) const {
    const auto n = static_cast<double>(count_);
    return {layer, quantity, std::sqrt(measured_ / n), std::sqrt(bound_ / n), worst_};
  }

 private:
  double measured_ = 0, bound_ = 0, worst_ = 0;
  std::size_t count_ = 0;
};

Summary ofNorm(const Tensor& xhat, std::span<const float> weight) {
  Summary summary;
  const double scale = largest(weight);
  for (std::size_t row = 0; row * xhat.width < xhat.exact.size(); ++row) {
    const double change =
        normJacobianChange(xhat.part(xhat.exact, row, 0, xhat.width), xhat.part(xhat.restored, row, 0, xhat.width), weight);
    summary.add(scale > 0 ? change / scale : 0, normJacobianBound(xhat.part(xhat.limits, row, 0, xhat.width)));
  }
  return summary;
}

Summary ofGate(const Tensor& gate, const Tensor& up) {
  Summary summary;
  for (std::size_t i = 0; i < gate.exact.size(); ++i) {
    const double g = gate.exact[i], u = up.exact[i];
    const double change = siluSlope(gate.restored[i]) * static_cast<double>(up.restored[i]) - siluSlope(g) * u;
    summary.add(std::fabs(change), gateSlopeBound(g, u, gate.limits[i], up.limits[i]));
  }
  return summary;
}

Summary ofUp(const Tensor& gate) {
  Summary summary;
  for (std::size_t i = 0; i < gate.exact.size(); ++i) {
    summary.add(std::fabs(silu(gate.restored[i]) - silu(gate.exact[i])), upSlopeBound(gate.limits[i]));
  }
  return summary;
}

// Scores of one query against the keys it sees, exact and restored, and a limit for how far apart they may be.
struct Scores {
  std::vector<double> exact, restored;
  double limit = 0;
};

Scores scoresOf(const Tensor& q, const Tensor& k, std::size_t row, std::size_t firstKey, std::size_t queryAt, std::size_t keyAt,
                std::size_t headDim) {
  Scores scores;
  const double scale = 1.0 / std::sqrt(static_cast<double>(headDim));
  const auto query = q.part(q.exact, row, queryAt, headDim), queryRestored = q.part(q.restored, row, queryAt, headDim);
  const double queryNorm = norm(query), queryLimit = norm(q.part(q.limits, row, queryAt, headDim));
  for (std::size_t key = firstKey; key <= row; ++key) {
    const auto exact = k.part(k.exact, key, keyAt, headDim);
    const double keyLimit = norm(k.part(k.limits, key, keyAt, headDim));
    scores.exact.push_back(scale * dot(query, exact));
    scores.restored.push_back(scale * dot(queryRestored, k.part(k.restored, key, keyAt, headDim)));
    scores.limit = std::max(scores.limit, scale * (queryNorm * keyLimit + queryLimit * norm(exact) + queryLimit * keyLimit));
  }
  return scores;
}

double changeOfRow(const Scores& scores, bool ownSum) {
  const double top = *std::max_element(scores.exact.begin(), scores.exact.end());
  double sum = 0, sumRestored = 0;
  for (std::size_t j = 0; j < scores.exact.size(); ++j) {
    sum += std::exp(scores.exact[j] - top);
    sumRestored += std::exp(scores.restored[j] - top);
  }
  if (!ownSum) sumRestored = sum;
  double change = 0;
  for (std::size_t j = 0; j < scores.exact.size(); ++j) {
    change += std::fabs(std::exp(scores.restored[j] - top) / sumRestored - std::exp(scores.exact[j] - top) / sum);
  }
  return change;
}

Summary ofAttention(const Tensor& q, const Tensor& k, const CapturedActivations& captured, bool ownSum) {
  Summary summary;
  const auto heads = static_cast<std::size_t>(captured.config.heads), kvHeads = static_cast<std::size_t>(captured.config.kvHeads);
  const auto headDim = static_cast<std::size_t>(captured.config.headDim), seqLen = static_cast<std::size_t>(captured.seqLen);
  for (std::size_t row = 0; row < static_cast<std::size_t>(captured.rows); ++row) {
    for (std::size_t head = 0; head < heads; ++head) {
      const std::size_t kvHead = head / (heads / kvHeads);
      const Scores scores = scoresOf(q, k, row, row / seqLen * seqLen, head * headDim, kvHead * headDim, headDim);
      summary.add(changeOfRow(scores, ownSum), softmaxBound(scores.limit, ownSum));
    }
  }
  return summary;
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

}  // namespace

const char* nameOf(BoundedQuantity quantity) {
  constexpr const char* kNames[] = {"norm1", "norm2", "d/dgate", "d/dup", "attention"};
  return kNames[static_cast<std::size_t>(quantity)];
}

double normJacobianChange(std::span<const float> xhat, std::span<const float> restored, std::span<const float> weight) {
  // With e = restored - xhat the matrix is [restored, e] [W e, W xhat]T: its singular values are those of the product of two 2 x 2 matrices
  // of inner products. In e, because restored restoredT - xhat xhatT itself would cancel.
  double rr = 0, re = 0, ee = 0, EE = 0, EX = 0, XX = 0;
  for (std::size_t i = 0; i < xhat.size(); ++i) {
    const double x = xhat[i], r = restored[i], e = r - x, square = static_cast<double>(weight[i]) * static_cast<double>(weight[i]);
    rr += r * r;
    re += r * e;
    ee += e * e;
    EE += square * e * e;
    EX += square * e * x;
    XX += square * x * x;
  }
  const double trace = rr * EE + 2 * re * EX + ee * XX;
  const double determinant = std::max(0.0, rr * ee - re * re) * std::max(0.0, EE * XX - EX * EX);
  const double square = 0.5 * (trace + std::sqrt(std::max(0.0, trace * trace - 4 * determinant)));
  return std::sqrt(square) / static_cast<double>(xhat.size());
}

double normJacobianBound(std::span<const double> limits) {
  const double share = norm(limits) / std::sqrt(static_cast<double>(limits.size()));
  return share * (2 + share);
}

double silu(double x) { return x * sigmoid(x); }

double siluSlope(double x) {
  const double s = sigmoid(x);
  return s + x * s * (1 - s);
}

double gateSlopeBound(double gate, double up, double gateLimit, double upLimit) {
  constexpr double kSteepest = 0.5;  // of silu', at 0
  return (std::fabs(up) + upLimit) * kSteepest * gateLimit + std::fabs(siluSlope(gate)) * upLimit;
}

double upSlopeBound(double gateLimit) {
  constexpr double kSteepest = 1.09984;  // of silu: 1.0998393..., at 2.39936
  return kSteepest * gateLimit;
}

double softmaxBound(double limit, bool ownSum) { return ownSum ? 2 * std::tanh(limit / 2) : std::expm1(limit); }

std::vector<BoundedError> measureBounds(const CapturedActivations& captured, const Parameters& weights, const ActivationPlan& plan) {
  std::vector<BoundedError> errors;
  for (std::size_t layer = 0; layer < captured.layers.size(); ++layer) {
    const auto tensor = [&](Kind kind) { return Tensor(captured, layer, kind, plan); };
    const auto weight = [&](const char* name) { return weights.value(weights["model.layers." + std::to_string(layer) + '.' + name]); };
    const auto add = [&](BoundedQuantity quantity, const Summary& summary) { errors.push_back(summary.of(layer, quantity)); };
    add(BoundedQuantity::kNorm1, ofNorm(tensor(kXhat1), weight("input_layernorm.weight")));
    add(BoundedQuantity::kAttention, ofAttention(tensor(kQ), tensor(kK), captured, plan.recomputesStatistics));
    add(BoundedQuantity::kNorm2, ofNorm(tensor(kXhat2), weight("post_attention_layernorm.weight")));
    const Tensor gate = tensor(kGate), up = tensor(kUp);
    add(BoundedQuantity::kGate, ofGate(gate, up));
    add(BoundedQuantity::kUp, ofUp(gate));
  }
  return errors;
}

std::string boundTable(const std::vector<BoundedError>& errors) {
  std::string text = "layer  quantity    measured      bound   bound / measured   worst measured / bound\n";
  char line[128];
  for (const BoundedError& each : errors) {
    std::snprintf(line, sizeof(line), "%5zu  %-9s %10.4f %10.4f %18.1f %24.3f\n", each.layer, nameOf(each.quantity), each.measured,
                  each.bound, each.measured > 0 ? each.bound / each.measured : 0.0, each.worst);
    text += line;
  }
  return text;
}

}  // namespace qccl::train
