// Learning rate over a run: a linear rise, then half a cosine down.
#pragma once

#include <cstdint>

namespace qccl::train {

struct ScheduleOptions {
  double peak = 1e-3;
  double finalFraction = 0.1;    // of peak, at the last step and after it
  std::int64_t warmupSteps = 0;  // step s < warmupSteps has peak * (s + 1) / warmupSteps
  std::int64_t totalSteps = 1;

  // Throws TrainError that names the field.
  void validate() const;
};

// Of step 0, 1, ... totalSteps - 1.
double learningRate(const ScheduleOptions& options, std::int64_t step);

}  // namespace qccl::train
