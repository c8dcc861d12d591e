#include "numerics/case.hpp"

#include <algorithm>
#include <cmath>

namespace qccl::bench::numerics {

const char* nameOf(DataKind kind) {
  constexpr const char* kNames[] = {"normal", "heavy", "gradients"};
  return kNames[static_cast<int>(kind)];
}

const char* nameOf(Signs signs) {
  constexpr const char* kNames[] = {"independent", "aligned", "positive"};
  return kNames[static_cast<int>(signs)];
}

double Measure::snrDb() const { return 10 * std::log10(signal / noise); }

double Measure::relativeL2() const { return std::sqrt(noise / signal); }

Result summarize(const std::vector<Measure>& measures) {
  Result result;
  result.repetitions = measures.size();
  const auto n = static_cast<double>(measures.size());
  result.slope = 0;
  for (const Measure& m : measures) {
    result.snrDb += m.snrDb() / n;
    result.relativeL2 += m.relativeL2() / n;
    result.bias += m.bias / n;
    result.slope += m.slope / n;
    result.biasError = std::hypot(result.biasError, m.biasError / n);
    result.slopeError = std::hypot(result.slopeError, m.slopeError / n);
    result.worstOverBound = std::max(result.worstOverBound, m.worstOverBound);
  }
  for (const Measure& m : measures) result.snrDeviation += std::pow(m.snrDb() - result.snrDb, 2) / std::max(1.0, n - 1);
  result.snrDeviation = std::sqrt(result.snrDeviation);
  return result;
}

}  // namespace qccl::bench::numerics
