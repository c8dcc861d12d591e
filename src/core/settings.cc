#include "core/settings.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "core/error.hpp"
#include "core/types.hpp"

extern char** environ;

namespace qccl {
namespace {

[[noreturn]] void failSetting(const SettingRow& row, const std::string& text, const std::string& why) {
  fail(qcclInvalidArgument, row.name, "=", text, ": ", why, "; allowed: ", row.allowed, " (", row.doc, ")");
}

bool parseUnsigned(const std::string& text, std::uint64_t* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::uint64_t parseInteger(const SettingRow& row, const std::string& text, std::uint64_t low, std::uint64_t high) {
  std::uint64_t value = 0;
  if (!parseUnsigned(text, &value)) failSetting(row, text, "is not a whole number");
  if (value < low || value > high) failSetting(row, text, "is out of range");
  return value;
}

double parseNumber(const SettingRow& row, const std::string& text, double low, double high) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) failSetting(row, text, "is not a number");
  if (!(value >= low && value <= high)) failSetting(row, text, "is out of range");
  return value;
}

int parseEnum(const SettingRow& row, const std::string& text, qcclEnum_t kind) {
  const int value = enumValue(kind, text.c_str());
  if (value < 0) failSetting(row, text, "is not one of the names");
  return value;
}

std::string parseChoice(const SettingRow& row, const std::string& text) {
  std::istringstream names(row.allowed);
  for (std::string name; std::getline(names, name, '|');) {
    if (name == text) return text;
  }
  failSetting(row, text, "is not one of the names");
}

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 40;

}  // namespace

std::uint64_t parseBytes(const char* name, const std::string& text) {
  std::string digits = text;
  std::uint64_t unit = 1;
  if (!digits.empty()) {
    switch (digits.back()) {
      case 'k':
      case 'K':
        unit = std::uint64_t{1} << 10;
        break;
      case 'm':
      case 'M':
        unit = std::uint64_t{1} << 20;
        break;
      case 'g':
      case 'G':
        unit = std::uint64_t{1} << 30;
        break;
      default:
        break;
    }
    if (unit != 1) digits.pop_back();
  }
  std::uint64_t value = 0;
  if (!parseUnsigned(digits, &value) || value > kMaxBytes / unit) {
    fail(qcclInvalidArgument, name, "=", text, ": is not a size; give bytes, or a number with K, M or G (powers of 1024), at most 1024G");
  }
  return value * unit;
}

const std::vector<SettingRow>& settingTable() {
  using R = SettingRow;
  using S = Settings;
  using T = const std::string;
  static const std::vector<SettingRow> table = {
      {"QCCL_TRANSPORT", "enum", "auto", "", "auto|inproc|ucx",
       "How bytes move between ranks: inproc when all ranks are threads of one process, ucx between processes and hosts; auto chooses",
       [](const R& row, T& text, S& s) { s.transport = parseChoice(row, text); }},
      {"QCCL_INTERFACE", "string", "", "", "the name of a network interface or an IP address of this host",
       "Where the rendezvous listens, and for ucx over TCP the interface used; empty: the first interface that is up and not loopback, "
       "else loopback",
       [](const R&, T& text, S& s) { s.interfaceName = text; }},
      {"QCCL_TIMEOUT_MS", "integer", "120000", "ms", "1..86400000",
       "Bound of every wait: for the ranks to meet, and for a peer that makes no progress",
       [](const R& row, T& text, S& s) { s.timeoutMs = static_cast<int>(parseInteger(row, text, 1, 86400000)); }},
      {"QCCL_RENDEZVOUS", "string", "", "", "dir:/path or tcp://host:port",
       "How the ranks of a launcher other than qccl's own share the unique id (include/qccl/launch.h); empty: a private folder on one host",
       [](const R& row, T& text, S& s) {
         if (!text.empty() && !text.starts_with("dir:/") && !text.starts_with("tcp://")) failSetting(row, text, "is neither");
         s.rendezvous = text;
       }},
      {"QCCL_SECRET", "string", "", "", "any text",
       "Shared secret for QCCL_RENDEZVOUS=tcp://...: the same on all ranks, known to nobody else",
       [](const R&, T& text, S& s) { s.secret = text; }},
      {"QCCL_LOG", "enum", "warn", "", "none|warn|info|debug", "How much is written to standard error",
       [](const R& row, T& text, S& s) { s.logLevel = parseChoice(row, text); }},
      {"QCCL_CODEC", "enum", "none", "", "none|int8|int6|int5|int4|fp8e4m3|fp8e5m2|fp4e2m1|bf16",
       "Codec of AllReduce and ReduceScatter of float32, bfloat16 and float16 with sum or avg",
       [](const R& row, T& text, S& s) { s.codec = parseEnum(row, text, qcclEnumCodec); }},
      {"QCCL_BLOCK", "integer", "256", "elements", "32|64|128|256|512|1024|2048|4096", "Elements that share one scale",
       [](const R& row, T& text, S& s) { s.blockElems = std::stoi(parseChoice(row, text)); }},
      {"QCCL_SCALE", "enum", "float32", "", "float32|bfloat16|e8m0", "What the scale of a block is stored as",
       [](const R& row, T& text, S& s) { s.scale = parseEnum(row, text, qcclEnumScale); }},
      {"QCCL_ALGO", "enum", "auto", "", "auto|oneshot|twoshot|ring|tree|hier|nccl",
       "Algorithm of AllReduce; auto: as the tuning table says for the size, the ranks and the codec. nccl: the real NCCL's own, exact, on "
       "GPU memory only",
       [](const R& row, T& text, S& s) { s.algorithm = parseEnum(row, text, qcclEnumAlgo); }},
      {"QCCL_TUNING_TABLE", "string", "", "", "a file that qccl-perf --tune has written",
       "Which algorithm auto takes at which size, and where the exact path is faster than the codec (docs/tuning.md); rank 0's is that of "
       "all "
       "ranks; empty: the table built in",
       [](const R&, T& text, S& s) { s.tuningTable = text; }},
      {"QCCL_RANKS_PER_HOST", "integer", "0", "ranks", "0..2048",
       "Of algorithm hier, when the ranks of a host follow one another and all hosts have this many; 0: as the ranks find out when they "
       "join",
       [](const R& row, T& text, S& s) { s.ranksPerHost = static_cast<int>(parseInteger(row, text, 0, 2048)); }},
      {"QCCL_ROUNDING", "enum", "nearest", "", "nearest|stochastic", "Rounding of codes",
       [](const R& row, T& text, S& s) { s.rounding = parseEnum(row, text, qcclEnumRounding); }},
      {"QCCL_ERROR_FEEDBACK", "boolean", "0", "", "0|1",
       "Keep what codes lose of a buffer and add it to what its next call encodes; costs as much memory as the message in int8",
       [](const R& row, T& text, S& s) { s.errorFeedback = parseChoice(row, text) == "1"; }},
      {"QCCL_MIN_BYTES", "bytes", "16K", "bytes", "0..1024G",
       "Calls with less input than this per rank take the exact path even when a codec is set",
       [](const R& row, T& text, S& s) { s.minBytes = parseBytes(row.name, text); }},
      {"QCCL_MIN_SNR_DB", "number", "0", "dB", "0..200",
       "Least signal-to-noise ratio that a quantized call may be expected to have; where no algorithm reaches it, a codec of more bits or "
       "the exact path is taken. 0: any",
       [](const R& row, T& text, S& s) { s.minSnrDb = parseNumber(row, text, 0, 200); }},
      {"QCCL_INSPECT_EVERY", "integer", "0", "calls", "0..1000000",
       "Every so many-th quantized call also sums a sample of its elements exactly, for the measured SNR in qcclCommGetStats; 1: each "
       "call, "
       "0: none",
       [](const R& row, T& text, S& s) { s.inspectEvery = static_cast<int>(parseInteger(row, text, 0, 1000000)); }},
      {"QCCL_TILE_BYTES", "bytes", "256K", "bytes", "4K..64M",
       "Input bytes of one pipeline step (rounded to whole frames; on the exact path of fewer than 8 ranks a multiple); results do not "
       "depend on it",
       [](const R& row, T& text, S& s) {
         s.tileBytes = parseBytes(row.name, text);
         if (s.tileBytes < 4096 || s.tileBytes > (std::uint64_t{64} << 20)) failSetting(row, text, "is out of range");
       }},
      {"QCCL_TILES_IN_FLIGHT", "integer", "4", "tiles", "1..64", "Pipeline depth; more hides latency and costs staging memory",
       [](const R& row, T& text, S& s) { s.tilesInFlight = static_cast<int>(parseInteger(row, text, 1, 64)); }},
      {"QCCL_THREAD_BLOCKS", "integer", "0", "thread blocks", "0..1024",
       "Thread blocks of a call on GPU memory, at most; fewer leave room for what else runs; 0: as many as run at the same time; the same "
       "on "
       "every rank",
       [](const R& row, T& text, S& s) { s.threadBlocks = static_cast<int>(parseInteger(row, text, 0, 1024)); }},
      {"QCCL_GPU_PATH", "enum", "auto", "", "auto|peer|host|nccl",
       "What carries calls on GPU memory: peer memory, which all GPUs of the communicator can write into; memory of the host that they are "
       "on; or the real NCCL; auto takes the first that there can be; the same on every rank",
       [](const R& row, T& text, S& s) { s.gpuPath = parseChoice(row, text); }},
      {"QCCL_NCCL_LIBRARY", "string", "", "", "the path of a file, or a name that the loader knows",
       "The real NCCL, opened when a call on GPU memory needs it; empty: libnccl.so.2. PyTorch's is "
       "site-packages/nvidia/nccl/lib/libnccl.so.2",
       [](const R&, T& text, S& s) { s.ncclLibrary = text; }},
      {"QCCL_NCCL_TILE_BYTES", "bytes", "8M", "bytes", "4K..1G",
       "Calls of qccl's algorithms over NCCL are cut into tiles, as many as the square root of how often this goes into the message; "
       "results do not depend on it; the same on every rank",
       [](const R& row, T& text, S& s) {
         s.ncclTileBytes = parseBytes(row.name, text);
         if (s.ncclTileBytes < 4096 || s.ncclTileBytes > (std::uint64_t{1} << 30)) failSetting(row, text, "is out of range");
       }},
      {"QCCL_KERNELS", "enum", "auto", "", "auto|baseline|avx2|avx512", "Host codec kernels; auto takes the best that the processor has",
       [](const R& row, T& text, S& s) { s.kernels = parseChoice(row, text); }},
  };
  return table;
}

Settings readSettings() {
  Settings settings;
  const std::vector<SettingRow>& table = settingTable();
  for (const SettingRow& row : table) {
    const char* text = std::getenv(row.name);
    row.parse(row, text != nullptr ? text : row.defaultValue, settings);
  }
  return settings;
}

std::vector<std::string> unknownSettings() {
  const std::vector<SettingRow>& table = settingTable();
  std::vector<std::string> unknown;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string name(*entry, std::strcspn(*entry, "="));
    if (!name.starts_with("QCCL_") || name.starts_with("QCCL_LAUNCH_")) continue;  // QCCL_LAUNCH_*: set by qcclLaunchLocal for its ranks
    if (std::none_of(table.begin(), table.end(), [&](const SettingRow& row) { return name == row.name; })) unknown.push_back(name);
  }
  return unknown;
}

}  // namespace qccl
