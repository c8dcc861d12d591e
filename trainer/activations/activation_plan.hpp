// Which saved tensors are kept in how many bits.
#pragma once

#include <qccl/activations.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "model/config.hpp"

namespace qccl::train {

// What a layer saves and a plan is about. The statistics rstd1, rstd2 and (unless it is computed again) lse are kept in
// FP32.
inline constexpr std::array<const char*, 8> kSavedKinds = {"xhat1", "q", "k", "v", "o", "xhat2", "gate", "up"};

// Values of a saved tensor for each token.
std::int64_t savedWidth(std::size_t kind, const ModelConfig& config);

// By kind: 4, 5, 6, 8 (with scales), 16 (bf16) or 32 (float32, exact).
using KindBits = std::array<int, kSavedKinds.size()>;

// By kind: whether its 4 or 8 bits are a floating-point code (fp4e2m1, fp8e4m3) rather than an integer.
using KindFloats = std::array<bool, kSavedKinds.size()>;

struct ActivationPlan {
  std::string name;
  KindBits bits{};
  KindFloats floats{};            // with `bits`
  std::vector<KindBits> byLayer;  // of each layer; empty: `bits` for all
  int blockElems = 128;
  qcclScale_t scale = qcclScaleBfloat16;
  // Whether lse is computed again in backward: with q and k of less than 16 bits the rows of the attention matrix would not add up to 1.
  bool recomputesStatistics = false;

  bool isExact() const;
  int bitsOf(std::size_t layer, std::size_t kind) const { return byLayer.empty() ? bits[kind] : byLayer[layer][kind]; }
  qcclPackedFormat_t formatOf(std::size_t layer, std::size_t kind) const;  // codec none: exact
};

// A tensor's format in so many bits, integers below 16.
qcclPackedFormat_t formatOfBits(int bits, const ActivationPlan& plan);

// Whether q or k of some layer have less than 16 bits.
bool losesBitsOfQOrK(const ActivationPlan& plan);

// "exact"; "bf16"; "agoq": attention (q, k, v, o) in bf16, the rest in 4 bits; "mixed": attention in 8 bits, the rest in 4; "int4", "int5",
// "int6", "int8", "fp4" (fp4e2m1), "fp8" (fp8e4m3): all in that; or by kind bits, or fp4 or fp8, "q=8,k=8,rest=fp4", where "attention"
// stands for q, k, v and o, and "rest" for all kinds that are not named (16 without it); "lse=32" keeps the statistics of forward whatever
// the bits of q and k. Blocks and scales are those of all kinds with less than 16 bits. Throws TrainError naming what it does not know, or
// the flag (--activations, --act-block, --act-scale) that is wrong.
ActivationPlan parseActivationPlan(const std::string& text, int blockElems, const std::string& scale);

}  // namespace qccl::train
