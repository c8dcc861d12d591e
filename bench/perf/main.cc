// qccl-perf: measures and verifies one collective over a range of sizes.
#include <cstdio>
#include <exception>
#include <optional>

#include "common/api.hpp"
#include "perf/options.hpp"
#include "perf/ranks.hpp"

int main(int argc, char** argv) {
  try {
    const std::optional<qccl::bench::Options> options = qccl::bench::parseOptions(argc, argv);
    return options ? qccl::bench::runRanks(*options, argv) : 0;
  } catch (const qccl::bench::ToolError& error) {
    std::fprintf(stderr, "qccl-perf: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "qccl-perf: %s\n", error.what());
    return 1;
  }
}
