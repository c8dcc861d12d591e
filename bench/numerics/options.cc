#include "numerics/options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "common/api.hpp"
#include "common/command_line.hpp"
#include "numerics/tables.hpp"

namespace qccl::bench::numerics {
namespace {

template <typename Enum>
std::vector<Enum> parseNames(const std::string& flag, const std::vector<std::string>& names, qcclEnum_t kind) {
  std::vector<Enum> values;
  for (const std::string& name : names) {
    const int value = qcclEnumValue(kind, name.c_str());
    if (value < 0) throw ToolError(flag + " " + name + ": unknown; qccl-info lists the names");
    values.push_back(static_cast<Enum>(value));
  }
  return values;
}

}  // namespace

std::optional<Options> parseOptions(int argc, char** argv) {
  Options options;
  std::vector<std::string> algorithms, codecs;
  CLI::App app(
      "Compares the algorithms on the same wire format: quantized all-reduces over ranks that are threads of this process, against the\n"
      "exact sum in double. SNR is given with its standard deviation over repetitions, bias and slope with their standard errors.",
      "qccl-numerics");
  app.add_option("--tables", options.tables, joined(tableNames()) + " (default: all)")->delimiter(',');
  app.add_option("--ranks", options.ranks, "Only these numbers of ranks")->delimiter(',');
  app.add_option("--algos", algorithms, "Only these algorithms")->delimiter(',');
  app.add_option("--codecs", codecs, "Only these codecs")->delimiter(',');
  app.add_option("--elems", options.elems, "Values a rank (gradients: all there are)")
      ->capture_default_str()
      ->check(CLI::Range(1024, 1 << 26));
  app.add_option("--reps", options.repetitions, "Repetitions with other data and other noise")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--seed", options.seed, "Of data and of stochastic rounding")->capture_default_str();
  app.add_option("--gradients", options.gradients,
                 "Folder that qccl-train train --save-gradients made; without it those rows are left out");
  app.add_option("--json", options.jsonPath, "Also write JSON lines to this file; -: to standard output instead of the tables");
  if (!parseCommandLine(app, argc, argv)) return std::nullopt;
  const std::vector<std::string> known = tableNames();
  for (const std::string& table : options.tables) {
    if (std::find(known.begin(), known.end(), table) == known.end())
      throw ToolError("--tables " + table + ": unknown; allowed: " + joined(known));
  }
  options.algorithms = parseNames<qcclAlgo_t>("--algos", algorithms, qcclEnumAlgo);
  options.codecs = parseNames<qcclCodec_t>("--codecs", codecs, qcclEnumCodec);
  return options;
}

}  // namespace qccl::bench::numerics
