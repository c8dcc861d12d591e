// A plan for saved activations as a picture: a row for each layer, a column for each kind of tensor, the wider the more values it has, the
// colour the bits that they are kept in; below, the peak of each stage of a pipeline.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "activations/activation_plan.hpp"
#include "activations/stage_plan.hpp"

namespace qccl::train {

// An SVG file. `rows`: tokens of a micro-batch. `stages`: empty, or those of planStages() with this plan.
std::string drawPlan(const ActivationPlan& plan, const ModelConfig& config, std::int64_t rows, const std::vector<StagePlan>& stages = {});

// "7.18 GiB": three digits, in the unit of 1024 that leaves the fewest.
std::string bytesText(double bytes);

}  // namespace qccl::train
