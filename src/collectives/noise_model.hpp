// The precision to be expected of a quantized call: a model for independent Gaussian inputs, where the error bound is for the worst case.
// docs/numerics.md derives it; tests/api/precision_test.cc measures it.
#pragma once

#include "collectives/call.hpp"
#include "collectives/rank_layout.hpp"

namespace qccl::collectives {

// Noise power of the result relative to its signal power, in units of that of one quantization of one value, where that is small against 1.
// `algorithm` as in the call (auto for a collective with one algorithm).
double noiseFactor(qcclColl_t coll, qcclAlgo_t algorithm, const RankLayout& ranks);

// Signal-to-noise ratio of a call with this quantization, in dB; infinite for codec none.
double predictedSnrDb(qcclColl_t coll, const Quantization& quant, const RankLayout& ranks);

}  // namespace qccl::collectives
