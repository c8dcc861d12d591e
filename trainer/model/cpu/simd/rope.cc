#include "model/cpu/simd/level.hpp"
#include "model/cpu/simd/vec16.hpp"

namespace qccl::train::simd::QCCL_SIMD_LEVEL {

void ropeRow(float* row, const float* cosine, const float* sine, int64_t heads, int64_t half, float sign) {
  const int64_t whole = half / kLanes * kLanes;
  for (int64_t head = 0; head < heads; ++head, row += 2 * half) {
    float* upper = row + half;
    int64_t i = 0;
    for (; i < whole; i += kLanes) {
      const Vec a = load(row + i), b = load(upper + i), c = load(cosine + i), s = load(sine + i) * splat(sign);
      store(row + i, a * c - b * s);
      store(upper + i, b * c + a * s);
    }
    for (; i < half; ++i) {
      const float a = row[i], b = upper[i], s = sine[i] * sign;
      row[i] = a * cosine[i] - b * s;
      upper[i] = b * cosine[i] + a * s;
    }
  }
}

}  // namespace qccl::train::simd::QCCL_SIMD_LEVEL
