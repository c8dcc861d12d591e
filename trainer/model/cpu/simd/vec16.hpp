// Sixteen floats as one value, made of as many machine vectors as the translation unit's instruction set needs. Compiled once per
// instruction set, everything in an unnamed namespace, so that no code of one set is linked into another. No operation is fused and every
// sum has a fixed order (16 running sums, added pairwise at the end), so all instruction sets give the same bits.
//
// QCCL_SIMD_LEVEL is the namespace of the set being compiled (base, avx2, avx512).
#pragma once

#include <stdint.h>

namespace qccl::train::simd::QCCL_SIMD_LEVEL {
namespace {

#if defined(__AVX512F__)
constexpr int kPartBytes = 64;
#elif defined(__AVX__)
constexpr int kPartBytes = 32;
#else
constexpr int kPartBytes = 16;
#endif
constexpr int kLanes = 16;
constexpr int kParts = kLanes * 4 / kPartBytes;

using PartF = float __attribute__((vector_size(kPartBytes)));
using PartI = int32_t __attribute__((vector_size(kPartBytes)));

#define QCCL_INLINE inline __attribute__((always_inline))

struct Vec {
  PartF part[kParts];
};

QCCL_INLINE Vec splat(float x) {
  Vec v;
  for (int i = 0; i < kParts; ++i) v.part[i] = PartF{} + x;
  return v;
}
QCCL_INLINE Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof(Vec));
  return v;
}
QCCL_INLINE void store(float* p, const Vec& v) { __builtin_memcpy(p, &v, sizeof(Vec)); }

// The first n lanes from memory (n < 16), the others `fill`.
QCCL_INLINE Vec loadFirst(const float* p, int64_t n, float fill) {
  float lanes[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = fill;
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}
QCCL_INLINE void storeFirst(float* p, int64_t n, const Vec& v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}

#define QCCL_VEC_OPERATOR(op)                                            \
  QCCL_INLINE Vec operator op(const Vec& a, const Vec& b) {              \
    Vec v;                                                               \
    for (int i = 0; i < kParts; ++i) v.part[i] = a.part[i] op b.part[i]; \
    return v;                                                            \
  }
QCCL_VEC_OPERATOR(+)
QCCL_VEC_OPERATOR(-)
QCCL_VEC_OPERATOR(*)
QCCL_VEC_OPERATOR(/)
#undef QCCL_VEC_OPERATOR

// x where x is NaN, so that a bad value is not hidden.
QCCL_INLINE Vec atLeast(const Vec& x, float low) {
  const Vec bound = splat(low);
  Vec v;
  for (int i = 0; i < kParts; ++i) v.part[i] = x.part[i] < bound.part[i] ? bound.part[i] : x.part[i];
  return v;
}
QCCL_INLINE Vec atMost(const Vec& x, float high) {
  const Vec bound = splat(high);
  Vec v;
  for (int i = 0; i < kParts; ++i) v.part[i] = x.part[i] > bound.part[i] ? bound.part[i] : x.part[i];
  return v;
}
// The larger; the second where they do not compare.
QCCL_INLINE Vec larger(const Vec& a, const Vec& b) {
  Vec v;
  for (int i = 0; i < kParts; ++i) v.part[i] = a.part[i] > b.part[i] ? a.part[i] : b.part[i];
  return v;
}

QCCL_INLINE float sum(const Vec& v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}
QCCL_INLINE float largest(const Vec& v) {
  float lanes[kLanes];
  store(lanes, v);
  float most = lanes[0];
  for (int i = 1; i < kLanes; ++i) most = lanes[i] > most ? lanes[i] : most;
  return most;
}

// e^x. Relative error below 2e-7 for x in [-87.3, 88.3]; beyond, the value at the end of that range (never zero, never infinite). NaN stays
// NaN. x = n ln2 + r, |r| <= ln2 / 2; e^r by a polynomial of degree 6 fitted to the least relative error (3.1e-9); 2^n by its exponent
// bits.
QCCL_INLINE Vec exp(const Vec& input) {
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const Vec x = atMost(atLeast(input, -87.3F), 88.3F);
  const Vec shifted = x * splat(1.44269504F) + splat(kRound);
  const Vec n = shifted - splat(kRound);
  const Vec r = (x - n * splat(0.693359375F)) - n * splat(-2.12194440e-4F);  // ln2 in two parts; the first times n is exact
  Vec p = splat(0x1.6a23c6p-10F);
  p = p * r + splat(0x1.123a20p-7F);
  p = p * r + splat(0x1.5558f4p-5F);
  p = p * r + splat(0x1.555492p-3F);
  p = p * r + splat(0x1.fffffcp-2F);
  p = (p * r) * r + r + splat(1.0F);
  Vec power;
  for (int i = 0; i < kParts; ++i) power.part[i] = (PartF)((((PartI)shifted.part[i]) << 23) + 0x3f800000);
  return p * power;
}

QCCL_INLINE Vec sigmoid(const Vec& x) { return splat(1.0F) / (splat(1.0F) + exp(splat(0.0F) - x)); }

}  // namespace
}  // namespace qccl::train::simd::QCCL_SIMD_LEVEL
