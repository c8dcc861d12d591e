// The table on standard output: comment lines begin with '#', as nccl-tests writes them.
#pragma once

#include <string>

#include "perf/measurement.hpp"
#include "perf/options.hpp"

namespace qccl::bench {

// What the run is, and the names of the columns. `memory` describes where rank 0's operands lie, `against` describes the library that is
// compared with; empty without one.
std::string tableHead(const Options& options, const char* transport, int ranks, const std::string& memory, const std::string& against);
std::string tableRow(const Options& options, const Measurement& outOfPlace, const Measurement* inPlace);
std::string tableFoot(const Options& options, std::uint64_t failures, double busbwSum, std::size_t measurements);

}  // namespace qccl::bench
