// The loops of the operators that are not matrix products, compiled for several instruction sets and chosen when the program runs. All sets
// give the same bits.
#pragma once

#include <cstdint>
#include <vector>

namespace qccl::train::simd {

struct Kernels {
  const char* name = "";
  int vectorBits = 0;

  // Semantics as in ops.hpp; matrices are rows x cols without gaps.
  void (*rmsNormForward)(const float* x, const float* weight, float eps, std::int64_t rows, std::int64_t cols, float* xhat, float* rstd,
                         float* y) = nullptr;
  void (*rmsNormScale)(const float* xhat, const float* weight, std::int64_t rows, std::int64_t cols, float* y) = nullptr;
  void (*rmsNormBackward)(const float* dy, const float* xhat, const float* rstd, const float* weight, std::int64_t rows, std::int64_t cols,
                          float* dx, float* dWeight) = nullptr;
  // One row of `heads` heads; cosine and sine are the row's `half` values. sign +1 rotates, -1 rotates back.
  void (*ropeRow)(float* row, const float* cosine, const float* sine, std::int64_t heads, std::int64_t half, float sign) = nullptr;
  void (*swigluForward)(const float* gate, const float* up, std::int64_t elems, float* out) = nullptr;
  void (*swigluBackward)(const float* gate, const float* up, const float* dOut, std::int64_t elems, float* dGate, float* dUp) = nullptr;

  // One row of causal scores: row[i] = exp(row[i] - max) for i < valid, 0 for valid <= i < cols. Returns the maximum; *sum = the sum.
  float (*softmaxRow)(float* row, std::int64_t valid, std::int64_t cols, float* sum) = nullptr;
  // One row of backward: p[i] = exp(p[i] - lse), dp[i] = p[i] * (dp[i] - delta) * scale for i < valid; both 0 for valid <= i < cols.
  void (*softmaxBackwardRow)(float* p, float* dp, std::int64_t valid, std::int64_t cols, float lse, float delta, float scale) = nullptr;
  float (*dot)(const float* a, const float* b, std::int64_t elems) = nullptr;
  void (*scale)(float* x, float factor, std::int64_t elems) = nullptr;
  void (*add)(const float* x, float* y, std::int64_t elems) = nullptr;

  // One row of logits: sum of exp(row[i] - maximum), the maximum in *maximum.
  float (*expSum)(const float* row, std::int64_t elems, float* maximum) = nullptr;
  // row[i] = scale * exp(row[i] - lse)
  void (*expScaled)(float* row, std::int64_t elems, float lse, float scale) = nullptr;
};

// The widest set that this machine has.
const Kernels& kernels();

// Every set that this machine has, narrowest first.
std::vector<const Kernels*> allKernels();

}  // namespace qccl::train::simd
