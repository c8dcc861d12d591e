// What the commands that try a checkpoint on data begin with.
#pragma once

#include <memory>
#include <string>

#include "activations/gradient_probe.hpp"
#include "data/token_file.hpp"
#include "model/config.hpp"
#include "model/ops.hpp"

namespace qccl::train {

// Of a checkpoint's folder. Throws TrainError if the file has tokens that the model does not know.
ModelConfig loadConfigFor(const std::string& folder, const TokenFile& file);

// threads 0: all processors.
std::unique_ptr<Ops> makeOps(int threads);

// The first windows of a file: `sequences` of them, or as many as there are. Throws TrainError if there is none.
TokenBatch firstWindows(const TokenFile& file, std::int64_t sequences, std::int64_t seqLen);

}  // namespace qccl::train
