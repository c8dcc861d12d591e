// What a plan keeps, tensor by tensor: bits, bytes, and the error to expect of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "activations/sensitivity.hpp"
#include "activations/stage_plan.hpp"

namespace qccl::train {

struct PlannedTensor {
  std::int64_t stage;  // of a pipeline
  std::int64_t layer;  // of the model
  std::size_t kind;    // of kSavedKinds
  int bits;
  qcclPackedFormat_t format;
  std::int64_t elems;
  std::uint64_t bytes;  // codes and scales
  double error;         // expectedError() of the format, or measured
};

// What normally distributed values lose in a format: the norm of the error over the norm of the values, by quantizing 65,536 of them.
double expectedError(const qcclPackedFormat_t& format);

// Of a micro-batch of `rows` tokens, all tensors but the statistics, by stage and layer. `stages`: those of planStages() with this plan, or
// empty.
std::vector<PlannedTensor> plannedTensors(const ModelConfig& config, std::int64_t rows, const ActivationPlan& plan,
                                          const PipelineShape& pipeline = {}, const std::vector<StagePlan>& stages = {});

// The same of a plan that was solved for; error: of the gradient, by the tensor alone, as predicted from what was measured.
std::vector<PlannedTensor> plannedTensors(const ModelConfig& config, std::int64_t rows, const SolvedPlan& solved,
                                          const std::vector<Sensitivity>& sensitivities);

// A row for each kind of the layers that are kept alike, and one for all. `ofGradient`: errors add up as squares; else they are of values,
// each of which counts alike.
std::string tensorTable(const std::vector<PlannedTensor>& tensors, bool ofGradient);

// A line of JSON for each tensor: stage, layer, saved, bits, format, elems, bytes, error.
std::string tensorLines(const std::vector<PlannedTensor>& tensors);

}  // namespace qccl::train
