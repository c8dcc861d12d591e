#include "model/cpu/simd/level.hpp"
#include "model/cpu/simd/vec16.hpp"

namespace qccl::train::simd::QCCL_SIMD_LEVEL {
namespace {

struct Slopes {
  Vec gate, up;
};

// out = g s(g) u: d/dg = u s (1 + g (1 - s)), d/du = g s
QCCL_INLINE Slopes slopes(const Vec& gate, const Vec& up, const Vec& dOut) {
  const Vec s = sigmoid(gate);
  const Vec silu = gate * s;
  return {dOut * up * (s + silu * (splat(1.0F) - s)), dOut * silu};
}

}  // namespace

void swigluForward(const float* gate, const float* up, int64_t elems, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= elems; i += kLanes) {
    const Vec g = load(gate + i);
    store(out + i, g * sigmoid(g) * load(up + i));
  }
  if (i < elems) {
    const Vec g = loadFirst(gate + i, elems - i, 0.0F);
    storeFirst(out + i, elems - i, g * sigmoid(g) * loadFirst(up + i, elems - i, 0.0F));
  }
}

void swigluBackward(const float* gate, const float* up, const float* dOut, int64_t elems, float* dGate, float* dUp) {
  int64_t i = 0;
  for (; i + kLanes <= elems; i += kLanes) {
    const Slopes d = slopes(load(gate + i), load(up + i), load(dOut + i));
    store(dGate + i, d.gate);
    store(dUp + i, d.up);
  }
  if (i < elems) {
    const int64_t rest = elems - i;
    const Slopes d = slopes(loadFirst(gate + i, rest, 0.0F), loadFirst(up + i, rest, 0.0F), loadFirst(dOut + i, rest, 0.0F));
    storeFirst(dGate + i, rest, d.gate);
    storeFirst(dUp + i, rest, d.up);
  }
}

}  // namespace qccl::train::simd::QCCL_SIMD_LEVEL
