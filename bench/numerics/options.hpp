// The command line of qccl-numerics.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qccl::bench::numerics {

struct Options {
  std::vector<std::string> tables;     // empty: all
  std::vector<int> ranks;              // only these; empty: all of the tables
  std::vector<qcclAlgo_t> algorithms;  // likewise
  std::vector<qcclCodec_t> codecs;     // likewise
  std::size_t elems = 262144;          // a rank
  std::size_t repetitions = 4;
  std::uint64_t seed = 1;
  std::string gradients;  // folder; empty: none
  std::string jsonPath;   // empty: none; "-": standard output, without the tables
};

// Throws ToolError for a bad command line. nothing: the help was asked for and printed.
std::optional<Options> parseOptions(int argc, char** argv);

}  // namespace qccl::bench::numerics
