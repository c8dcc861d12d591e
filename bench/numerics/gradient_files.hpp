// Gradients that `qccl-train train --save-gradients` wrote.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qccl::bench::numerics {

struct CapturedStep {
  std::int64_t step = 0;
  std::vector<std::string> paths;  // by rank
};

// All steps in a folder, in order, each complete. Throws ToolError.
std::vector<CapturedStep> findGradients(const std::string& folder);

// The gradients of all matrices of one file, in file order, which is that of the trainer's messages. (Vectors are left out: the trainer
// sends them exactly.) Throws ToolError.
std::vector<float> readGradients(const std::string& path);

}  // namespace qccl::bench::numerics
