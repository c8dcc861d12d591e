// The end of a tool's main().
#pragma once

#include <cstdio>
#include <exception>

#include "common/api.hpp"

namespace qccl::bench {

// The exit code of the program: that of `work`, or with a sentence on stderr 2 for a ToolError and 1 for any other failure.
template <typename Work>
int runTool(const char* program, Work work) {
  try {
    return work();
  } catch (const ToolError& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 1;
  }
}

}  // namespace qccl::bench
