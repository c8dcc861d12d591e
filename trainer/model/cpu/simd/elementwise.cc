#include "model/cpu/simd/level.hpp"
#include "model/cpu/simd/vec16.hpp"

namespace qccl::train::simd::QCCL_SIMD_LEVEL {

float dot(const float* a, const float* b, int64_t elems) {
  Vec products = splat(0.0F);
  int64_t i = 0;
  for (; i + kLanes <= elems; i += kLanes) products = products + load(a + i) * load(b + i);
  if (i < elems) products = products + loadFirst(a + i, elems - i, 0.0F) * loadFirst(b + i, elems - i, 0.0F);
  return sum(products);
}

void scale(float* x, float factor, int64_t elems) {
  int64_t i = 0;
  for (; i + kLanes <= elems; i += kLanes) store(x + i, load(x + i) * splat(factor));
  for (; i < elems; ++i) x[i] *= factor;
}

void add(const float* x, float* y, int64_t elems) {
  int64_t i = 0;
  for (; i + kLanes <= elems; i += kLanes) store(y + i, load(y + i) + load(x + i));
  for (; i < elems; ++i) y[i] += x[i];
}

}  // namespace qccl::train::simd::QCCL_SIMD_LEVEL
