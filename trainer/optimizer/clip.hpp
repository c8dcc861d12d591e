// The norm of all gradients together, and the factor that bounds it.
#pragma once

#include "model/parameters.hpp"

namespace qccl::train {

// Square root of the sum of squares of every gradient, added in double in a fixed order: the same bits on every machine. NaN or infinite if
// any gradient is.
double gradientNorm(const Parameters& parameters);

// What gradientNorm adds up, in the order of the list, before it takes the root: for gradients that are not all there at once.
double gradientSquares(const Parameters& parameters, const Parameter& parameter);

// What to multiply gradients by so that their norm is at most maxNorm: 1 if it is already or maxNorm is 0 (no clipping), else maxNorm /
// norm. 0 if the norm is not finite; whoever sees that should leave the step out.
double clipFactor(double norm, double maxNorm);

}  // namespace qccl::train
