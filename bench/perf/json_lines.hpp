// One measurement as one line of JSON.
#pragma once

#include <string>

#include "perf/measurement.hpp"
#include "perf/options.hpp"

namespace qccl::bench {

// Without a line break. What was not checked, does not apply, or has no finite value (the SNR of an exact result) is null.
std::string jsonLine(const Options& options, const char* transport, int ranks, const Measurement& m);

}  // namespace qccl::bench
