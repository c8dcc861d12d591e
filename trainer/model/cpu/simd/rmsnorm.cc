#include "model/cpu/simd/level.hpp"
#include "model/cpu/simd/vec16.hpp"

namespace qccl::train::simd::QCCL_SIMD_LEVEL {

void rmsNormForward(const float* x, const float* weight, float eps, int64_t rows, int64_t cols, float* xhat, float* rstd, float* y) {
  const int64_t whole = cols / kLanes * kLanes;
  for (int64_t r = 0; r < rows; ++r, x += cols, xhat += cols, y += cols) {
    Vec squares = splat(0.0F);
    int64_t i = 0;
    for (; i < whole; i += kLanes) {
      const Vec v = load(x + i);
      squares = squares + v * v;
    }
    if (i < cols) {
      const Vec v = loadFirst(x + i, cols - i, 0.0F);
      squares = squares + v * v;
    }
    const float inverse = 1.0F / __builtin_sqrtf(sum(squares) / static_cast<float>(cols) + eps);
    rstd[r] = inverse;
    for (i = 0; i < whole; i += kLanes) {
      const Vec v = load(x + i) * splat(inverse);
      store(xhat + i, v);
      store(y + i, v * load(weight + i));
    }
    for (; i < cols; ++i) {
      xhat[i] = x[i] * inverse;
      y[i] = xhat[i] * weight[i];
    }
  }
}

void rmsNormScale(const float* xhat, const float* weight, int64_t rows, int64_t cols, float* y) {
  const int64_t whole = cols / kLanes * kLanes;
  for (int64_t r = 0; r < rows; ++r, xhat += cols, y += cols) {
    int64_t i = 0;
    for (; i < whole; i += kLanes) store(y + i, load(xhat + i) * load(weight + i));
    for (; i < cols; ++i) y[i] = xhat[i] * weight[i];
  }
}

void rmsNormBackward(const float* dy, const float* xhat, const float* rstd, const float* weight, int64_t rows, int64_t cols, float* dx,
                     float* dWeight) {
  const int64_t whole = cols / kLanes * kLanes;
  for (int64_t r = 0; r < rows; ++r, dy += cols, xhat += cols, dx += cols) {
    Vec products = splat(0.0F);
    int64_t i = 0;
    for (; i < whole; i += kLanes) {
      const Vec t = load(dy + i) * load(xhat + i);
      products = products + t * load(weight + i);
      store(dWeight + i, load(dWeight + i) + t);
    }
    if (i < cols) {
      const int64_t rest = cols - i;
      const Vec t = loadFirst(dy + i, rest, 0.0F) * loadFirst(xhat + i, rest, 0.0F);
      products = products + t * loadFirst(weight + i, rest, 0.0F);
      storeFirst(dWeight + i, rest, loadFirst(dWeight + i, rest, 0.0F) + t);
    }
    const float mean = sum(products) / static_cast<float>(cols);
    for (i = 0; i < whole; i += kLanes) {
      const Vec g = load(dy + i) * load(weight + i);
      store(dx + i, load(dx + i) + splat(rstd[r]) * (g - load(xhat + i) * splat(mean)));
    }
    for (; i < cols; ++i) dx[i] += rstd[r] * (dy[i] * weight[i] - xhat[i] * mean);
  }
}

}  // namespace qccl::train::simd::QCCL_SIMD_LEVEL
