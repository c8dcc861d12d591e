// The formulas of the fused operators, once, for host and device, with the order of every addition: both sides give the same bits.
//
// Every operation is one IEEE operation in FP32, rounded to nearest even; fmaf is fused where it stands and nowhere else. A NaN that one
// of the operators writes is 0x7fffffff (0x7fff in 16 bits), which is what GPUs make of any: the host's is made into that.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "quant/float_formats.hpp"

namespace qccl::memory {

using quant::bitsOf;
using quant::floatFromBits;

inline constexpr float kAnyNan = __builtin_bit_cast(float, 0x7fffffffu);

QCCL_HD float withOneNan(float x) { return x != x ? kAnyNan : x; }

// The sum of a row is that of a binary tree. A leaf takes kLeafElems neighbouring columns, zeros behind the last:
// fmaf(a[3], b[3], fmaf(a[2], b[2], fmaf(a[1], b[1], fmaf(a[0], b[0], 0)))). Neighbours are added in pairs, those sums in pairs, and so
// on; where one of a pair is missing, it is 0. Leaves of zeros behind the last change nothing but the sign of a sum that is -0, as it is
// where all products are too small for FP32; so a mean (below) is made of 0 then.
inline constexpr std::size_t kLeafElems = 4;

// The most columns of a row: the leaves of 32 * 4096 fit into what a thread block has for their sums. Counts up to there are exact in FP32.
inline constexpr std::size_t kMaxCols = kLeafElems * 32 * 4096;

// The gradient of a norm's weight is added up over rows in FP32. Row r is in strip r mod kStrips, each strip is added in the order of its
// rows, from 0, by fmaf(dOutput, xhat, sum), and strips by a tree as above. The result is added to what is there.
inline constexpr std::size_t kStrips = 512;

QCCL_HD float rstdOf(float sumOfSquares, float cols, float epsilon) { return withOneNan(1.0f / sqrtf(sumOfSquares / cols + epsilon)); }

QCCL_HD float meanOf(float sum, float cols) { return (sum + 0.0f) / cols; }

// dX of a value, given g = dOutput * weight and the row's mean of g * xhat.
QCCL_HD float normGradient(float g, float xhat, float mean, float rstd) { return rstd * fmaf(-xhat, mean, g); }

// 1 / d, rounded to nearest, for d from 1 to 2^125: there the steps of a GPU's division need none of the branches that it has for other
// numbers, which would keep a compiler from working on several values at a time.
QCCL_HD float inverseOf(float d) {
#ifdef __CUDA_ARCH__
  float estimate;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(estimate) : "f"(d));
  return fmaf(estimate, fmaf(-d, estimate, 1.0f), estimate);
#else
  return 1.0f / d;
#endif
}

// exp(x) / (1 + exp(x)), within 2.9 ulp (2.89 is the most of all floats x; tests/memory/fused_formulas_test.cc tries a part of them); 0 for
// x below -87.69, where the value is less than FP32's smallest normal number. exp(x) = 2^n 2^f with |f| <= 1/2; 2^f by a polynomial whose
// relative error is less than 2^-25 (its coefficients are those that make the largest one smallest). Of NaN it is a number.
QCCL_HD float sigmoid(float x) {
  constexpr float kLog2E = 0x1.715476p+0f, kLog2ERest = 0x1.4ae0c0p-26f;
  constexpr float kRounder = 0x1.8p23f;           // adding it rounds to an integer, which is then in the low bits
  float bounded = x < 18.0f ? x : 18.0f;          // where it is 1
  bounded = bounded > -88.0f ? bounded : -88.0f;  // where it is 0
  const float rounded = fmaf(bounded, kLog2E, kRounder);
  const float n = rounded - kRounder;
  const float f = fmaf(bounded, kLog2ERest, fmaf(bounded, kLog2E, -n));
  float power = 0x1.636e2cp-13f;
  power = fmaf(power, f, 0x1.603446p-10f);
  power = fmaf(power, f, 0x1.3afca8p-7f);
  power = fmaf(power, f, 0x1.c6ac3ap-5f);
  power = fmaf(power, f, 0x1.ebfc1ep-3f);
  power = fmaf(power, f, 0x1.62e434p-1f);
  power = fmaf(power, f, 1.0f);
  // n is from -127 to 26; 2^-127 is taken for 0.
  const float scale = floatFromBits((bitsOf(rounded) << 23) + 0x3f800000u);
  const float exponential = power * scale;
  return exponential * inverseOf(1.0f + exponential);
}

QCCL_HD float swigluProduct(float gate, float up) { return (gate * sigmoid(gate)) * up; }

struct SwigluGradients {
  float product, gate, up;
};

// d silu / d gate = s (1 + gate (1 - s)), s the sigmoid.
QCCL_HD SwigluGradients swigluGradients(float gate, float up, float dProduct) {
  const float s = sigmoid(gate);
  const float silu = gate * s;
  return {silu * up, (dProduct * up) * (s * fmaf(gate, 1.0f - s, 1.0f)), dProduct * silu};
}

}  // namespace qccl::memory
