// Bounds on what saved tensors in few bits do to the derivatives that backward builds from them, proved in docs/activations.md, and the
// same quantities measured. Everything is relative to nothing but the tensors: no gradient of a loss comes in.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "activations/activation_plan.hpp"
#include "activations/captured_activations.hpp"

namespace qccl::train {

enum class BoundedQuantity {
  kNorm1,     // of RMSNorm's Jacobian: spectral norm of the change, in units of rstd max|weight|
  kNorm2,     // the same
  kGate,      // d(silu(gate) up) / d gate: change
  kUp,        // d(silu(gate) up) / d up: change
  kAttention  // a row of a head's attention matrix: sum of the magnitudes of its changes
};
const char* nameOf(BoundedQuantity quantity);

// Root mean squares over the tokens (and channels, or heads) of a layer.
struct BoundedError {
  std::size_t layer = 0;
  BoundedQuantity quantity{};
  double measured = 0;
  double bound = 0;
  double worst = 0;  // the largest measured / bound: at most 1
};

// Five of each layer.
std::vector<BoundedError> measureBounds(const CapturedActivations& captured, const Parameters& weights, const ActivationPlan& plan);

// A row for each layer and quantity, and how many times the bound is above what was measured.
std::string boundTable(const std::vector<BoundedError>& errors);

// ------------------------------------------------------------------------------------------------
// One token, one element
// ------------------------------------------------------------------------------------------------

// Spectral norm of (xhat xhatT - restored restoredT) diag(weight) / d, exactly: it has rank 2.
double normJacobianChange(std::span<const float> xhat, std::span<const float> restored, std::span<const float> weight);
// It is at most max|weight| times this, for |restored_i - xhat_i| <= limits_i and |xhat|^2 <= d.
double normJacobianBound(std::span<const double> limits);

double silu(double x);
double siluSlope(double x);
// For |gate' - gate| <= gateLimit and |up' - up| <= upLimit:
double gateSlopeBound(double gate, double up, double gateLimit, double upLimit);  // of |silu'(gate') up' - silu'(gate) up|
double upSlopeBound(double gateLimit);                                            // of |silu(gate') - silu(gate)|

// Of the sum of |p'_j - p_j| for p = softmax(s), p' = softmax(s') and |s'_j - s_j| <= limit; without its own sum of exponentials p' is
// exp(s') over that of s.
double softmaxBound(double limit, bool ownSum);

}  // namespace qccl::train
