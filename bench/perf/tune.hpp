// --tune: measures every way to make a call of each size, and writes which one is the fastest into a tuning table.
#pragma once

#include "perf/memory.hpp"
#include "perf/options.hpp"
#include "perf/rank.hpp"

namespace qccl::bench {

// Collective. Rank 0 prints the times and writes the file. Throws ToolError.
void runTuning(const Options& options, Rank& rank, Memory& memory, const char* transport);

// Before any rank is started: throws ToolError if the file of --tune is no tuning table or could not be written.
void requireTuning(const Options& options);

}  // namespace qccl::bench
