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

// Small and quick: three sizes, one of them ragged, few iterations.
inline const std::vector<std::string> kQuick = {"--min", "300", "--max", "300K", "--factor", "32", "--iters", "3", "--warmup", "1"};

std::vector<std::string> with(std::vector<std::string> flags, const std::vector<std::string>& more = kQuick);

}  // namespace qccl::test
