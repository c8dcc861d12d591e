// The bounds that the AGoQ paper states for RMSNorm, taken literally, beside what is measured on the same tensors (docs/activations.md says
// what they mean here).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "activations/activation_plan.hpp"
#include "activations/captured_activations.hpp"

namespace qccl::train {

// Of a norm of a layer. Jacobians in units of rstd max|weight|; root mean squares over tokens.
struct PaperBounds {
  std::size_t layer = 0;
  int norm = 1;           // 1 or 2
  double lostShare = 0;   // tokens of which some value has a relative error of 1 or more: it became 0, or twice itself
  double case1 = 0;       // measured: the norm's input in few bits, and its statistics from that
  double case1Bound = 0;  // 3 max|d_X| (|X|^2 / (d r^2) + (|X|^2 / (d r^2))^2)
  double stored = 0;      // measured: the normalised input in few bits, and rstd exactly, as qccl stores it
  double case2Bound = 0;  // 6 eps_q, with eps_q the codec's error relative to the largest value of a block
  double case2Worst = 0;  // the largest `stored` of a token, over that
};

std::vector<PaperBounds> measurePaperBounds(const CapturedActivations& captured, const Parameters& weights, const ActivationPlan& plan);
std::string paperTable(const std::vector<PaperBounds>& bounds);

// Spectral norm of J(X') - J(X) in units of rstd, by the power method (from below), for X = xhat and X' = restored in units of 1 / rstd,
// with X's and X' own root mean squares; eps in the same units.
double recomputedNormChange(std::span<const float> xhat, std::span<const float> restored, std::span<const float> weight, double eps);

}  // namespace qccl::train
