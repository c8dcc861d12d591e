// What --tune prints.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <string>
#include <vector>

#include "perf/options.hpp"
#include "perf/tune_choice.hpp"

namespace qccl::bench {

struct TuneTimes {
  std::vector<std::size_t> sizes;
  std::vector<Way> exact;
  std::vector<Way> quantized;
};

// One line a size: the time of every way, the fastest marked, and what is chosen. On standard output.
void printTuneTimes(const Options& options, const char* transport, const qcclTuningKey_t& key, const std::string& memory,
                    const TuneTimes& times);

}  // namespace qccl::bench
