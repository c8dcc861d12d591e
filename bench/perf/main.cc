// qccl-perf: measures and verifies one collective over a range of sizes.
#include "common/run_tool.hpp"
#include "perf/options.hpp"
#include "perf/ranks.hpp"

int main(int argc, char** argv) {
  return qccl::bench::runTool("qccl-perf", [&] {
    const auto options = qccl::bench::parseOptions(argc, argv);
    return options ? qccl::bench::runRanks(*options, argv) : 0;
  });
}
