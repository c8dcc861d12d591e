#include "optimizer/schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "model/error.hpp"

namespace qccl::train {
namespace {

TEST(Schedule, RisesThenFollowsHalfACosine) {
  const ScheduleOptions options{.peak = 2e-3, .finalFraction = 0.1, .warmupSteps = 4, .totalSteps = 105};
  for (int s = 0; s < 4; ++s) EXPECT_DOUBLE_EQ(learningRate(options, s), 2e-3 * (s + 1) / 4);
  EXPECT_DOUBLE_EQ(learningRate(options, 4), 2e-3);
  EXPECT_NEAR(learningRate(options, 54), 2e-3 * 0.55, 1e-12);                              // half-way: the mean of peak and final
  EXPECT_NEAR(learningRate(options, 29), 2e-3 * (0.1 + 0.9 * 0.8535533905932737), 1e-12);  // a quarter: (1 + cos 45 degrees) / 2
  EXPECT_NEAR(learningRate(options, 104), 2e-4, 1e-15);
  EXPECT_NEAR(learningRate(options, 5000), 2e-4, 1e-15);
  for (int s = 5; s < 105; ++s) EXPECT_LT(learningRate(options, s), learningRate(options, s - 1));
}

TEST(Schedule, DegenerateRuns) {
  EXPECT_DOUBLE_EQ(learningRate({.peak = 1, .finalFraction = 1, .warmupSteps = 0, .totalSteps = 10}, 7), 1);
  EXPECT_DOUBLE_EQ(learningRate({.peak = 1, .finalFraction = 0.5, .warmupSteps = 0, .totalSteps = 1}, 0), 0.5);
  EXPECT_DOUBLE_EQ(learningRate({.peak = 1, .finalFraction = 0.5, .warmupSteps = 10, .totalSteps = 5}, 4), 0.5);
  EXPECT_DOUBLE_EQ(learningRate({.peak = 1, .finalFraction = 0, .warmupSteps = 5, .totalSteps = 5}, 4), 1);
}

TEST(Schedule, RefusesBadOptions) {
  const ScheduleOptions good{.peak = 1, .finalFraction = 0.1, .warmupSteps = 1, .totalSteps = 10};
  EXPECT_NO_THROW(good.validate());
  for (auto change : {+[](ScheduleOptions& o) { o.peak = -1; }, +[](ScheduleOptions& o) { o.peak = NAN; },
                      +[](ScheduleOptions& o) { o.finalFraction = 1.1; }, +[](ScheduleOptions& o) { o.warmupSteps = -1; },
                      +[](ScheduleOptions& o) { o.totalSteps = 0; }}) {
    ScheduleOptions bad = good;
    change(bad);
    EXPECT_THROW(bad.validate(), TrainError);
  }
}

}  // namespace
}  // namespace qccl::train
