// What a plan for saved activations does to the gradients: those of one batch with it, beside the exact ones.
#pragma once

#include <string>
#include <vector>

#include "activations/gradient_probe.hpp"

namespace qccl::train {

// Of all parameters of one kind ("self_attn.q_proj.weight"), over all layers.
struct GradientError {
  std::string kind;
  double relative = 0;  // norm of the difference over the norm of the exact gradient
  double cosine = 0;    // of the angle between the two
};

struct PlanComparison {
  ActivationPlan plan;
  bool sameLoss = false;              // as without a plan, bit for bit
  std::size_t savedBytes = 0;         // of the batch
  std::size_t exactBytes = 0;         // of the same tensors in FP32
  std::vector<GradientError> errors;  // in the order of the parameters, the last one "all"
};

std::vector<PlanComparison> comparePlans(GradientProbe& probe, const std::vector<ActivationPlan>& plans);

// A row for each kind of parameter, a column for each plan.
std::string comparisonTable(const std::vector<PlanComparison>& comparisons);

}  // namespace qccl::train
