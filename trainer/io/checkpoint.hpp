// A model as a folder that transformers loads (config.json, model.safetensors), and the optimizer's state beside it
// (optimizer.safetensors).
#pragma once

#include <string>

#include "io/safetensors.hpp"
#include "model/config.hpp"
#include "model/parameters.hpp"
#include "optimizer/adamw.hpp"

namespace qccl::train {

// Creates the folder if it is missing. `type` is what weights are stored as.
void saveModel(const std::string& folder, const ModelConfig& config, const Parameters& parameters, TensorType type = TensorType::kF32);

// The configuration of a folder; then its weights into parameters made from it. Reads model.safetensors, or the files that
// model.safetensors.index.json names. Every parameter must be there with its shape; a stored lm_head.weight is ignored where the model is
// tied.
ModelConfig loadConfig(const std::string& folder);
void loadModel(const std::string& folder, Parameters& parameters);

// Moments in FP32 as m.<name> and v.<name>, the number of steps as metadata. Any number of ranks may load what one saved.
void saveOptimizer(const std::string& folder, const Parameters& parameters, const AdamW& optimizer);
void loadOptimizer(const std::string& folder, const Parameters& parameters, AdamW& optimizer);

}  // namespace qccl::train
