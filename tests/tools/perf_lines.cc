#include "tools/perf_lines.hpp"

#include <sstream>

namespace qccl::test {

PerfRun runPerf(const std::vector<std::string>& flags, const std::vector<std::string>& before,
                std::map<std::string, std::string> environment) {
  std::vector<std::string> arguments = before;
  arguments.emplace_back(QCCL_PERF);
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  environment.emplace("QCCL_TIMEOUT_MS", "40000");
  PerfRun run;
  run.process = runProcess(arguments, environment, std::chrono::seconds(90));
  std::istringstream output(run.process.out);
  for (std::string line; std::getline(output, line);) {
    if (line.starts_with("{")) run.lines.push_back(nlohmann::json::parse(line));
  }
  return run;
}

std::vector<std::string> with(std::vector<std::string> flags, const std::vector<std::string>& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

}  // namespace qccl::test
