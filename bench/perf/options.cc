#include "perf/options.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <limits>

#include "common/api.hpp"
#include "common/command_line.hpp"

namespace qccl::bench {
namespace {

constexpr const char* kDataKinds[] = {"normal", "uniform", "heavy", "integers"};
constexpr const char* kCarriers[] = {"auto", "inproc", "ucx"};
constexpr const char* kMemories[] = {"host", "cuda"};
constexpr const char* kAgainst[] = {"none", "mpi", "gloo", "nccl"};
constexpr std::size_t kMaxSize = std::size_t{1} << 40;

[[noreturn]] void refuse(const std::string& flag, const std::string& text, const std::vector<std::string>& names) {
  throw ToolError(flag + " " + text + ": unknown; allowed: " + joined(names));
}

int parseEnum(const std::string& flag, const std::string& text, qcclEnum_t kind, int numValues) {
  const int value = qcclEnumValue(kind, text.c_str());
  if (value < 0) refuse(flag, text, enumNames(kind, numValues));
  return value;
}

template <typename Names>
int parseName(const std::string& flag, const std::string& text, const Names& names) {
  for (std::size_t i = 0; i < std::size(names); ++i) {
    if (text == names[i]) return static_cast<int>(i);
  }
  refuse(flag, text, std::vector<std::string>(std::begin(names), std::end(names)));
}

std::vector<std::string> splitAtCommas(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

void requireRange(const std::string& flag, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) {
    throw ToolError(flag + " " + std::to_string(value) + ": must be from " + std::to_string(low) + " to " + std::to_string(high));
  }
}

// The command line as text, before names become values.
struct RawOptions {
  std::string collective = "allreduce";
  std::string dtypes = "float32";
  std::string op = "sum";
  std::string algorithm = "auto";
  std::string codec = "none";
  std::string scale = "float32";
  std::string rounding = "nearest";
  std::string carrier = "auto";
  std::string memory = "host";
  std::string data = "normal";
  std::string against = "none";
  std::string minBytes = "1K";
  std::string maxBytes = "64M";
  std::string quantMinBytes = "0";
  int check = 1;
};

void addFlags(CLI::App& app, RawOptions& raw, Options& options) {
  const std::string collectives = joined(enumNames(qcclEnumColl, qcclNumColls));
  app.add_option("collective", raw.collective, collectives)->required();
  app.add_option("--ranks", options.ranks,
                 "Number of ranks that this program starts on this machine; under mpirun, srun or torchrun it follows them");
  app.add_option("--transport", raw.carrier,
                 "inproc: ranks are threads of this process; ucx: processes; auto: ucx under a launcher, else inproc");
  app.add_option("--algo", raw.algorithm, joined(enumNames(qcclEnumAlgo, qcclNumAlgos)))->capture_default_str();
  app.add_option("--codec", raw.codec, joined(enumNames(qcclEnumCodec, qcclNumCodecs)))->capture_default_str();
  app.add_option("--block", options.blockElems, "Elements that share a scale")->capture_default_str();
  app.add_option("--scale", raw.scale, joined(enumNames(qcclEnumScale, qcclNumScales)))->capture_default_str();
  app.add_option("--rounding", raw.rounding, joined(enumNames(qcclEnumRounding, qcclNumRoundings)))->capture_default_str();
  app.add_option("--quant-min", raw.quantMinBytes,
                 "Calls below this size take the exact path, as QCCL_MIN_BYTES (default here: 0, so that the codec is measured)");
  app.add_flag("--keep-codec", options.keepCodec,
               "The codec is requested with every call (qcclAllReduceEx), and not replaced by the exact path where that is faster; without "
               "it it is the communicator's, as in a program that sets QCCL_CODEC");
  app.add_option("--min-snr", options.minSnrDb,
                 "Least signal-to-noise ratio in dB to be expected of a quantized call; the library then chooses another algorithm, or the "
                 "exact path (default: as QCCL_MIN_SNR_DB)");
  app.add_option("--dtype", raw.dtypes, joined(enumNames(qcclEnumDataType, qcclNumTypes)) + "; with --tune several, separated by commas")
      ->capture_default_str();
  app.add_option("--op", raw.op, joined(enumNames(qcclEnumRedOp, qcclNumOps)))->capture_default_str();
  app.add_option("--root", options.root, "Root of broadcast and reduce")->capture_default_str();
  app.add_option("--min", raw.minBytes, "First size (K, M, G: powers of 1024)")->capture_default_str();
  app.add_option("--max", raw.maxBytes, "Last size")->capture_default_str();
  app.add_option("--factor", options.factor, "From one size to the next (with --tune: 2)")->capture_default_str();
  app.add_option("--iters", options.iterations, "Timed iterations of a size; 0: as many as fit into --time")->capture_default_str();
  app.add_option("--warmup", options.warmup, "Iterations before that")->capture_default_str();
  app.add_option("--time", options.seconds, "Seconds for the timed iterations of a size (with --tune: of each algorithm)")
      ->capture_default_str();
  app.add_option("--check", raw.check, "1: verify results; 0: do not")->capture_default_str();
  app.add_option("--data", raw.data, "normal, uniform (-1..1), heavy (tails as Student's t), integers (sums are exact)")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Of data and of stochastic rounding")->capture_default_str();
  app.add_option("--memory", raw.memory,
                 "host, or cuda: operands lie on the GPU of the rank (number of the rank on its host modulo number of GPUs), and time is "
                 "the GPU's, of 10 calls between two events (fewer where values would grow out of range), divided by their number")
      ->capture_default_str();
  app.add_flag("--graph", options.graph, "With --memory cuda: those calls are captured in a CUDA graph once, and its replays are timed");
  app.add_option("--against", raw.against,
                 "mpi (under mpirun), gloo, or nccl (with --memory cuda): also makes each call with that library, in turn with qccl's, and "
                 "prints its time and the ratio")
      ->capture_default_str();
  app.add_option("--nccl-lib", options.ncclLib,
                 "File of --against nccl (default: NCCL_LIBRARY, else libnccl.so.2 where the loader finds it); PyTorch's is "
                 "site-packages/nvidia/nccl/lib/libnccl.so.2");
  app.add_option("--tune", options.tunePath,
                 "Measures every algorithm, with the codec and exact, and writes which one is the fastest at which size into this tuning "
                 "table; rows for other calls that it has stay. libqccl reads it where QCCL_TUNING_TABLE names it. With --against nccl "
                 "also NCCL, which calls can be handed over to");
  app.add_option("--json", options.jsonPath, "Also write JSON lines to this file; -: to standard output instead of the table");
}

// What does not fit together.
void validateMemory(const Options& options) {
  const std::string against = std::string("--against ") + againstName(options.against);
  const bool onHost = options.memory == MemoryKind::host;
  if (options.graph && onHost) throw ToolError("--graph: only calls on GPU memory can be captured in a CUDA graph; add --memory cuda");
  if (options.against == Against::nccl && onHost) throw ToolError(against + ": NCCL has no calls on host memory; add --memory cuda");
  if ((options.against == Against::mpi || options.against == Against::gloo) && !onHost) {
    throw ToolError(against + ": compared on host memory alone; leave --memory cuda out, or use --against nccl");
  }
  if (!options.ncclLib.empty() && options.against != Against::nccl) throw ToolError("--nccl-lib: only of use with --against nccl");
}

void validateTuning(const Options& options) {
  if (options.tuneTypes.size() > 1 && options.tunePath.empty()) throw ToolError("--dtype: several types only with --tune");
  if (options.tunePath.empty()) return;
  if (options.collective != qcclCollAllReduce && options.collective != qcclCollReduceScatter) {
    throw ToolError("--tune: only allreduce and reducescatter have a choice of algorithms");
  }
  if (options.algorithm != qcclAlgoAuto) throw ToolError("--tune: measures all algorithms; leave --algo out");
  if (!options.jsonPath.empty()) throw ToolError("--tune: writes a tuning table and no JSON lines; leave --json out");
  if (options.against != Against::none && options.against != Against::nccl) {
    throw ToolError(std::string("--against ") + againstName(options.against) + ": calls can be handed over to NCCL only; leave it out");
  }
}

void validate(const Options& options) {
  requireRange("--factor", static_cast<std::int64_t>(options.factor), 2, 1024);
  requireRange("--iters", options.iterations, 0, 1000000);
  requireRange("--warmup", options.warmup, 0, 100000);
  if (options.ranks != 0) requireRange("--ranks", options.ranks, 1, 1024);
  if (!(options.seconds > 0 && options.seconds <= 3600)) throw ToolError("--time: must be above 0 and at most 3600 seconds");
  if (options.minBytes == 0) throw ToolError("--min 0: the first size must be at least 1 byte, or there would be no next one");
  if (options.minBytes > options.maxBytes) throw ToolError("--min is larger than --max: there is no size to run");
  if (options.minSnrDb && !(*options.minSnrDb >= 0)) throw ToolError("--min-snr: must not be negative");
  if (options.root < 0) throw ToolError("--root: must not be negative");
  validateMemory(options);
  validateTuning(options);
}

}  // namespace

std::vector<std::size_t> Options::sizes() const {
  std::vector<std::size_t> all;
  for (std::size_t bytes = minBytes; bytes <= maxBytes; bytes *= factor) {
    all.push_back(bytes);
    if (bytes > std::numeric_limits<std::size_t>::max() / factor) break;
  }
  return all;
}

const char* dataKindName(DataKind kind) { return kDataKinds[static_cast<int>(kind)]; }

const char* againstName(Against against) { return kAgainst[static_cast<int>(against)]; }

qcclMemory_t memoryOf(const Options& options) { return options.memory == MemoryKind::cuda ? qcclMemoryCuda : qcclMemoryHost; }

const char* memoryName(MemoryKind memory) { return kMemories[static_cast<int>(memory)]; }

std::size_t parseSize(const std::string& flag, const std::string& text) {
  std::size_t unit = 1;
  std::string digits = text;
  if (!digits.empty()) {
    const std::string units = "KMG";
    const std::size_t at = units.find(static_cast<char>(std::toupper(static_cast<unsigned char>(digits.back()))));
    if (at != std::string::npos) {
      unit <<= 10 * (at + 1);
      digits.pop_back();
    }
  }
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || value > kMaxSize / unit) {
    throw ToolError(flag + " " + text + ": is not a size; give bytes, or a number with K, M or G (powers of 1024), at most 1024G");
  }
  return value * unit;
}

std::optional<Options> parseOptions(int argc, char** argv) {
  Options options;
  RawOptions raw;
  CLI::App app(
      "Measures one collective over a range of sizes and verifies its results.\n"
      "time: median over iterations of the slowest rank; busbw: the bandwidth that the links see, as nccl-tests defines it.",
      "qccl-perf");
  addFlags(app, raw, options);
  if (!parseCommandLine(app, argc, argv)) return std::nullopt;
  options.collective = static_cast<qcclColl_t>(parseEnum("collective", raw.collective, qcclEnumColl, qcclNumColls));
  options.tuneTypes.clear();
  for (const std::string& name : splitAtCommas(raw.dtypes)) {
    options.tuneTypes.push_back(static_cast<qcclDataType_t>(parseEnum("--dtype", name, qcclEnumDataType, qcclNumTypes)));
  }
  options.dtype = options.tuneTypes.front();
  if (!options.tunePath.empty() && app.count("--factor") == 0) options.factor = 2;
  options.op = static_cast<qcclRedOp_t>(parseEnum("--op", raw.op, qcclEnumRedOp, qcclNumOps));
  options.algorithm = static_cast<qcclAlgo_t>(parseEnum("--algo", raw.algorithm, qcclEnumAlgo, qcclNumAlgos));
  options.codec = static_cast<qcclCodec_t>(parseEnum("--codec", raw.codec, qcclEnumCodec, qcclNumCodecs));
  options.scale = static_cast<qcclScale_t>(parseEnum("--scale", raw.scale, qcclEnumScale, qcclNumScales));
  options.rounding = static_cast<qcclRounding_t>(parseEnum("--rounding", raw.rounding, qcclEnumRounding, qcclNumRoundings));
  options.carrier = static_cast<Carrier>(parseName("--transport", raw.carrier, kCarriers));
  options.memory = static_cast<MemoryKind>(parseName("--memory", raw.memory, kMemories));
  options.against = static_cast<Against>(parseName("--against", raw.against, kAgainst));
  options.data = static_cast<DataKind>(parseName("--data", raw.data, kDataKinds));
  options.minBytes = parseSize("--min", raw.minBytes);
  options.maxBytes = parseSize("--max", raw.maxBytes);
  options.quantMinBytes = parseSize("--quant-min", raw.quantMinBytes);
  requireRange("--check", raw.check, 0, 1);
  options.check = raw.check == 1;
  validate(options);
  return options;
}

}  // namespace qccl::bench
