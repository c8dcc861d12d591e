// What one instruction set's translation units share: each operator's file defines its functions, table.cc collects them.
#pragma once

#include <stdint.h>

namespace qccl::train::simd::QCCL_SIMD_LEVEL {

void rmsNormForward(const float* x, const float* weight, float eps, int64_t rows, int64_t cols, float* xhat, float* rstd, float* y);
void rmsNormScale(const float* xhat, const float* weight, int64_t rows, int64_t cols, float* y);
void rmsNormBackward(const float* dy, const float* xhat, const float* rstd, const float* weight, int64_t rows, int64_t cols, float* dx,
                     float* dWeight);
void ropeRow(float* row, const float* cosine, const float* sine, int64_t heads, int64_t half, float sign);
void swigluForward(const float* gate, const float* up, int64_t elems, float* out);
void swigluBackward(const float* gate, const float* up, const float* dOut, int64_t elems, float* dGate, float* dUp);
float softmaxRow(float* row, int64_t valid, int64_t cols, float* sum);
void softmaxBackwardRow(float* p, float* dp, int64_t valid, int64_t cols, float lse, float delta, float scale);
float dot(const float* a, const float* b, int64_t elems);
void scale(float* x, float factor, int64_t elems);
void add(const float* x, float* y, int64_t elems);
float expSum(const float* row, int64_t elems, float* maximum);
void expScaled(float* row, int64_t elems, float lse, float scale);

}  // namespace qccl::train::simd::QCCL_SIMD_LEVEL
