// Runs qccl-perf and reads its JSON lines.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/process.hpp"

namespace qccl::test {

struct PerfRun {
  ProcessResult process;
  std::vector<nlohmann::json> lines;
};

// `before` stands in front of the program, as a launcher does. The waits of a run that goes wrong end before the test's own limit.
PerfRun runPerf(const std::vector<std::string>& flags, const std::vector<std::string>& before = {},
                std::map<std::string, std::string> environment = {});

}  // namespace qccl::test
