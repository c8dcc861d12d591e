// Runs a program for a test: bounded in time, its output captured, nothing of it left behind.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace qccl::test {

struct ProcessResult {
  int exitCode = 0;  // 128 + signal if it was killed
  bool timedOut = false;
  std::string out;
  std::string err;
};

// `environment` is added to this process's own. The program leads a process group of its own, which is killed at the time limit and once it
// has ended, so that nothing it started outlives it. Throws std::runtime_error if it cannot be started.
ProcessResult runProcess(const std::vector<std::string>& arguments, const std::map<std::string, std::string>& environment = {},
                         std::chrono::seconds limit = std::chrono::seconds(60));

}  // namespace qccl::test
