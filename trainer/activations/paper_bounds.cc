#include "activations/paper_bounds.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "activations/error_bounds.hpp"

namespace qccl::train {
namespace {

double largestRelativeError(std::span<const float> exact, std::span<const float> restored) {
  double largest = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    if (exact[i] == 0) continue;
    largest =
        std::max(largest, std::fabs((static_cast<double>(restored[i]) - static_cast<double>(exact[i])) / static_cast<double>(exact[i])));
  }
  return largest;
}

// diag(weight) (a I + b x xT + c y yT), and its transpose.
class DiagonalPlusTwo {
 public:
  DiagonalPlusTwo(double a, double b, std::span<const float> x, double c, std::span<const float> y, std::span<const float> weight)
      : a_(a), b_(b), c_(c), x_(x), y_(y), weight_(weight) {}

  void multiply(std::vector<double>* v) const {
    inner(v);
    scale(v);
  }
  void multiplyTransposed(std::vector<double>* v) const {
    scale(v);
    inner(v);
  }

 private:
  void scale(std::vector<double>* v) const {
    for (std::size_t i = 0; i < v->size(); ++i) (*v)[i] *= static_cast<double>(weight_[i]);
  }
  void inner(std::vector<double>* v) const {
    double xv = 0, yv = 0;
    for (std::size_t i = 0; i < v->size(); ++i) {
      xv += static_cast<double>(x_[i]) * (*v)[i];
      yv += static_cast<double>(y_[i]) * (*v)[i];
    }
    for (std::size_t i = 0; i < v->size(); ++i) {
      (*v)[i] = a_ * (*v)[i] + b_ * xv * static_cast<double>(x_[i]) + c_ * yv * static_cast<double>(y_[i]);
    }
  }

  double a_, b_, c_;
  std::span<const float> x_, y_, weight_;
};

double normOf(const std::vector<double>& v) {
  double sum = 0;
  for (const double each : v) sum += each * each;
  return std::sqrt(sum);
}

double meanSquare(std::span<const float> values) {
  double sum = 0;
  for (const float each : values) sum += static_cast<double>(each) * static_cast<double>(each);
  return sum / static_cast<double>(values.size());
}

struct Sums {
  double case1 = 0, case1Bound = 0, stored = 0;
  void add(double measured, double bound, double storedChange) {
    case1 += measured * measured;
    case1Bound += bound * bound;
    stored += storedChange * storedChange;
  }
};

PaperBounds ofNorm(const CapturedActivations& captured, std::size_t layer, int which, std::span<const float> weight,
                   const qcclPackedFormat_t& format) {
  const CapturedActivations::Layer& tensors = captured.layers[layer];
  const std::vector<float>&xhat = tensors.tensors[which == 1 ? 0 : 5], &rstd = which == 1 ? tensors.rstd1 : tensors.rstd2;
  const std::size_t width = weight.size();
  // The norm's input, and what its codes give; both then in units of the token's 1 / rstd.
  std::vector<float> input(xhat.size());
  for (std::size_t i = 0; i < xhat.size(); ++i) input[i] = xhat[i] / rstd[i / width];
  std::vector<float> restoredInput = roundTrip(input, format);
  for (std::size_t i = 0; i < xhat.size(); ++i) restoredInput[i] *= rstd[i / width];
  const std::vector<float> restored = roundTrip(xhat, format);
  float scale = 0;
  for (const float each : weight) scale = std::max(scale, std::fabs(each));
  const double unit = static_cast<double>(scale);

  PaperBounds bounds;
  bounds.layer = layer;
  bounds.norm = which;
  bounds.case2Bound = 6 * relativeError(format);
  Sums sums;
  const std::size_t rows = xhat.size() / width;
  for (std::size_t row = 0; row < rows; ++row) {
    const auto part = [&](const std::vector<float>& values) { return std::span<const float>(values).subspan(row * width, width); };
    const double inverse = rstd[row], lost = largestRelativeError(part(xhat), part(restoredInput)), share = meanSquare(part(xhat));
    const double stored = normJacobianChange(part(xhat), part(restored), weight) / unit;
    sums.add(recomputedNormChange(part(xhat), part(restoredInput), weight, captured.config.normEps * inverse * inverse) / unit,
             3 * lost * (share + share * share), stored);
    bounds.lostShare += lost >= 1 ? 1.0 / static_cast<double>(rows) : 0;
    if (bounds.case2Bound > 0) bounds.case2Worst = std::max(bounds.case2Worst, stored / bounds.case2Bound);
  }
  bounds.case1 = std::sqrt(sums.case1 / static_cast<double>(rows));
  bounds.case1Bound = std::sqrt(sums.case1Bound / static_cast<double>(rows));
  bounds.stored = std::sqrt(sums.stored / static_cast<double>(rows));
  return bounds;
}

}  // namespace

double recomputedNormChange(std::span<const float> xhat, std::span<const float> restored, std::span<const float> weight, double eps) {
  const auto d = static_cast<double>(xhat.size());
  const double rms = std::sqrt(meanSquare(restored) + eps);
  const DiagonalPlusTwo change(1 / rms - 1, 1 / d, xhat, -1 / (d * rms * rms * rms), restored, weight);
  // From the difference of both: where nearly all of the change is.
  std::vector<double> v(xhat.size());
  for (std::size_t i = 0; i < v.size(); ++i)
    v[i] = static_cast<double>(restored[i]) - static_cast<double>(xhat[i]) + 1e-3 * static_cast<double>(xhat[i]);
  double norm = 0;
  for (int step = 0; step < 40; ++step) {
    const double length = normOf(v);
    if (length == 0) return 0;
    for (double& each : v) each /= length;
    change.multiply(&v);
    norm = normOf(v);
    change.multiplyTransposed(&v);
  }
  return norm;
}

std::vector<PaperBounds> measurePaperBounds(const CapturedActivations& captured, const Parameters& weights, const ActivationPlan& plan) {
  std::vector<PaperBounds> all;
  for (std::size_t layer = 0; layer < captured.layers.size(); ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer);
    all.push_back(ofNorm(captured, layer, 1, weights.value(weights[prefix + ".input_layernorm.weight"]), plan.formatOf(layer, 0)));
    all.push_back(ofNorm(captured, layer, 2, weights.value(weights[prefix + ".post_attention_layernorm.weight"]), plan.formatOf(layer, 5)));
  }
  return all;
}

std::string paperTable(const std::vector<PaperBounds>& bounds) {
  std::string text = "layer  norm   tokens with max|d_X| >= 1   Case 1    bound   stored   Case 2's bound   worst token of it\n";
  char line[128];
  for (const PaperBounds& each : bounds) {
    std::snprintf(line, sizeof(line), "%5zu %5d %27.1f %% %8.4f %8.3f %8.4f %16.4f %19.3f\n", each.layer, each.norm, 100 * each.lostShare,
                  each.case1, each.case1Bound, each.stored, each.case2Bound, each.case2Worst);
    text += line;
  }
  return text;
}

}  // namespace qccl::train
