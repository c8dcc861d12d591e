// How exact one quantization is: the bound that holds for every value, and the signal-to-noise ratio to expect. docs/numerics.md derives
// the first and measures the second.
#pragma once

#include "quant/wire_format.hpp"

namespace qccl::quant {

// e so that |x - decoded| <= e * a for every x of a block whose largest magnitude is a, apart from half a unit of a denormal; with BF16
// scales e (a + 2^-133), which is as finely as BF16 tells denormals apart; with E8M0 scales at least one step of 2^-127.
double largestError(const PackedFormat& format, bool stochastic);

// Signal over noise power in dB of values coded and decoded once, for independent normal values: the exact expectation over the code
// grid, the largest magnitude of the block at its distribution's quantiles; with E8M0 scales the mean over values of all sizes. Values with
// heavier tails come out lower, with aligned magnitudes higher. Computed once for each format, then looked up.
double predictedSnrDb(const PackedFormat& format, bool stochastic);

}  // namespace qccl::quant
