#include "optimizer/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "model/error.hpp"

namespace qccl::train {

void ScheduleOptions::validate() const {
  if (!(peak >= 0) || !std::isfinite(peak)) failTrain("the learning rate is ", peak, "; it must be 0 or more");
  if (!(finalFraction >= 0 && finalFraction <= 1))
    failTrain("the final fraction of the learning rate is ", finalFraction, "; it must be between 0 and 1");
  if (warmupSteps < 0) failTrain("the number of warm-up steps is ", warmupSteps, "; it must be 0 or more");
  if (totalSteps < 1) failTrain("the number of steps is ", totalSteps, "; it must be at least 1");
}

double learningRate(const ScheduleOptions& options, std::int64_t step) {
  if (step < options.warmupSteps) return options.peak * static_cast<double>(step + 1) / static_cast<double>(options.warmupSteps);
  // From the peak at the first step after the warm-up to the final value at the last step.
  const std::int64_t span = options.totalSteps - 1 - options.warmupSteps;
  const double progress = span <= 0 ? 1.0 : std::min(1.0, static_cast<double>(step - options.warmupSteps) / static_cast<double>(span));
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * progress));
  return options.peak * (options.finalFraction + (1 - options.finalFraction) * cosine);
}

}  // namespace qccl::train
