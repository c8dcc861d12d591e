#include "optimizer/clip.hpp"

#include <cmath>
#include <span>

namespace qccl::train {
namespace {

// Sixteen running sums, added in order at the end: fast, and the same on every machine.
double sumOfSquares(std::span<const float> values) {
  constexpr std::size_t kLanes = 16;
  double lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const auto x = static_cast<double>(values[i + lane]);
      lanes[lane] += x * x;
    }
  }
  for (; i < values.size(); ++i) lanes[i % kLanes] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  double total = 0;
  for (const double lane : lanes) total += lane;
  return total;
}

}  // namespace

double gradientSquares(const Parameters& parameters, const Parameter& parameter) { return sumOfSquares(parameters.gradient(parameter)); }

double gradientNorm(const Parameters& parameters) {
  double total = 0;
  for (const Parameter& p : parameters.list()) total += gradientSquares(parameters, p);
  return std::sqrt(total);
}

double clipFactor(double norm, double maxNorm) {
  if (!std::isfinite(norm)) return 0;
  return maxNorm <= 0 || norm <= maxNorm ? 1 : maxNorm / norm;
}

}  // namespace qccl::train
