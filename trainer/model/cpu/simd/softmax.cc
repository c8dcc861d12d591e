// The rows of attention's and of the loss's softmax.
#include "model/cpu/simd/level.hpp"
#include "model/cpu/simd/vec16.hpp"

namespace qccl::train::simd::QCCL_SIMD_LEVEL {
namespace {

// Below every finite score, so that lanes past the end change neither maximum nor (after exp) anything that is kept.
constexpr float kLowest = -3.4028235e38F;

QCCL_INLINE float maximumOf(const float* row, int64_t elems) {
  Vec most = splat(kLowest);
  int64_t i = 0;
  for (; i + kLanes <= elems; i += kLanes) most = larger(most, load(row + i));
  if (i < elems) most = larger(most, loadFirst(row + i, elems - i, kLowest));
  return largest(most);
}

}  // namespace

float softmaxRow(float* row, int64_t valid, int64_t cols, float* total) {
  const float most = maximumOf(row, valid);
  Vec sums = splat(0.0F);
  int64_t i = 0;
  for (; i + kLanes <= valid; i += kLanes) {
    const Vec e = exp(load(row + i) - splat(most));
    store(row + i, e);
    sums = sums + e;
  }
  if (i < valid) {
    const int64_t rest = valid - i;
    storeFirst(row + i, rest, exp(loadFirst(row + i, rest, most) - splat(most)));
    sums = sums + loadFirst(row + i, rest, 0.0F);
    i = valid;
  }
  for (; i < cols; ++i) row[i] = 0.0F;
  *total = sum(sums);
  return most;
}

void softmaxBackwardRow(float* p, float* dp, int64_t valid, int64_t cols, float lse, float delta, float factor) {
  int64_t i = 0;
  for (; i + kLanes <= valid; i += kLanes) {
    const Vec e = exp(load(p + i) - splat(lse));
    store(p + i, e);
    store(dp + i, e * (load(dp + i) - splat(delta)) * splat(factor));
  }
  if (i < valid) {
    const int64_t rest = valid - i;
    const Vec e = exp(loadFirst(p + i, rest, lse) - splat(lse));
    storeFirst(p + i, rest, e);
    storeFirst(dp + i, rest, e * (loadFirst(dp + i, rest, 0.0F) - splat(delta)) * splat(factor));
    i = valid;
  }
  for (; i < cols; ++i) p[i] = dp[i] = 0.0F;
}

float expSum(const float* row, int64_t elems, float* maximum) {
  const float most = maximumOf(row, elems);
  Vec sums = splat(0.0F);
  int64_t i = 0;
  for (; i + kLanes <= elems; i += kLanes) sums = sums + exp(load(row + i) - splat(most));
  if (i < elems) {
    float lanes[kLanes];
    store(lanes, exp(loadFirst(row + i, elems - i, most) - splat(most)));
    sums = sums + loadFirst(lanes, elems - i, 0.0F);
  }
  *maximum = most;
  return sum(sums);
}

void expScaled(float* row, int64_t elems, float lse, float factor) {
  int64_t i = 0;
  for (; i + kLanes <= elems; i += kLanes) store(row + i, exp(load(row + i) - splat(lse)) * splat(factor));
  if (i < elems) storeFirst(row + i, elems - i, exp(loadFirst(row + i, elems - i, lse) - splat(lse)) * splat(factor));
}

}  // namespace qccl::train::simd::QCCL_SIMD_LEVEL
