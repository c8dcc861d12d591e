// Starts the ranks of a run, as threads of this process or as processes, and gives the exit code of the program.
#pragma once

#include "perf/options.hpp"

namespace qccl::bench {

// 0: all checks passed; 1: a check failed or a rank did. Throws ToolError for a request that cannot be met.
int runRanks(const Options& options, char** argv);

}  // namespace qccl::bench
