// Plan `auto`: how much each saved tensor's bits matter to the gradients, measured on the model and data at hand, and the plan of least
// error under a budget of bytes.
//
// A tensor of a layer is kept in few bits while all others are exact, and the gradients of a batch are compared with the exact ones: that
// is done in 4 bits and in bf16. In 5, 6 and 8 bits the error of rounding is that in 4 bits times the square of how much finer the steps
// are. Errors of different tensors add up as squares as long as they are independent; the plan's real error is measured afterwards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "activations/gradient_probe.hpp"

namespace qccl::train {

inline constexpr int kPlannedBits[] = {4, 5, 6, 8, 16};

// Codes and scales.
std::uint64_t storedBytes(std::int64_t elems, int bits, const ActivationPlan& like);

struct Sensitivity {
  std::size_t layer;
  std::size_t kind;                      // of kSavedKinds
  std::vector<qcclBitChoice_t> choices;  // in the order of kPlannedBits; errors: squared, relative to the exact gradient
};

// Two runs of the batch for each tensor of each layer. Bytes are those of `rows` tokens; `like` gives blocks and scales.
std::vector<Sensitivity> measureSensitivities(GradientProbe& probe, std::int64_t rows, const ActivationPlan& like);

struct TensorBits {
  std::size_t layer;
  std::size_t kind;
  int bits;
};

// For each item the choice in the allocation of least total error that takes at most budgetBytes, exactly. Throws TrainError if none does.
std::vector<TensorBits> allocate(const std::vector<Sensitivity>& items, std::uint64_t budgetBytes, std::uint64_t* bytes = nullptr,
                                 double* error = nullptr);

// Throws TrainError if not even 4 bits for every tensor of `rows` tokens fit.
void requireBudget(const ModelConfig& config, std::int64_t rows, std::uint64_t budgetBytes, const ActivationPlan& like);

struct SolvedPlan {
  ActivationPlan plan;
  std::uint64_t bytes = 0;    // codes and scales of a batch, without the statistics
  double predictedError = 0;  // squared, relative
};

// Exactly the plan of least predicted error that takes at most budgetBytes. Throws TrainError if none does.
SolvedPlan solvePlan(const std::vector<Sensitivity>& sensitivities, const ModelConfig& config, std::uint64_t budgetBytes,
                     const ActivationPlan& like);

// A row for each layer, a column for each kind: bits. And the totals.
std::string planTable(const SolvedPlan& solved);

}  // namespace qccl::train
