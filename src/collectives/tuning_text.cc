// Tuning tables as text: the one place that knows the format. docs/tuning.md describes it for people.
#include <charconv>
#include <iterator>
#include <sstream>
#include <utility>

#include "collectives/tuning_table.hpp"
#include "core/error.hpp"
#include "core/types.hpp"

namespace qccl::collectives {
namespace {

constexpr const char* kName = "qccl-tuning";
constexpr int kVersion = 1;  // of the format: another one is refused
constexpr const char* kColumns[] = {"collective", "memory",    "path",  "ranks",     "ranksPerHost", "dtype",
                                    "asked",      "upToBytes", "codec", "algorithm", "requested"};
constexpr std::size_t kNumColumns = std::size(kColumns);

constexpr const char* kAny = "any";
constexpr const char* kMax = "max";
constexpr const char* kQuantized = "quantized";
constexpr const char* kAsked = "asked";
constexpr const char* kNone = "none";
constexpr const char* kDirect = "direct";
constexpr const char* kUnknown = "-";

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 40;

// "qccl.tuning:12: "
struct Place {
  const std::string& source;
  int line;

  [[noreturn]] void refuse(const std::string& column, const std::string& text, const std::string& allowed) const {
    fail(qcclInvalidArgument, source, ":", line, ": ", column, " ", text, " is not known; write ", allowed);
  }
};

std::optional<int> number(const std::string& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1) return std::nullopt;
  return value;
}

// "4", "2-8", "9-max", "any"; 0 is any as well.
TuningKey::Range parseRange(const Place& at, const char* column, const std::string& text) {
  TuningKey::Range range;
  if (text == kAny || text == "0") return range;
  const std::size_t dash = text.find('-');
  const std::optional<int> first = number(text.substr(0, dash));
  const std::string rest = dash == std::string::npos ? text.substr(0, dash) : text.substr(dash + 1);
  const std::optional<int> last = rest == kMax ? std::optional(range.last) : number(rest);
  if (!first || !last || *first > *last) at.refuse(column, text, "a number, a range as 2-8 or 9-max, or any");
  return {*first, *last};
}

std::uint64_t parseUpTo(const Place& at, const std::string& text) {
  if (text == kMax) return TuningRow::kAnySize;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > kMaxBytes) {
    at.refuse("upToBytes", text, "a number of bytes up to 2^40, or max");
  }
  return value;
}

std::optional<RankPath> parsePath(const Place& at, bool onDevice, const std::string& text) {
  if (text == kAny) return std::nullopt;
  using Paths = std::vector<RankPath>;
  std::string allowed;
  for (const RankPath path :
       onDevice ? Paths{RankPath::peer, RankPath::host, RankPath::nccl} : Paths{RankPath::oneHost, RankPath::severalHosts}) {
    if (text == pathName(path)) return path;
    allowed += strCat(pathName(path), ", ");
  }
  at.refuse("path", text, strCat(allowed, "or any for memory ", onDevice ? "cuda" : "host"));
}

qcclAlgo_t parseAlgorithm(const Place& at, const TuningKey& key, bool exact, const char* column, const std::string& text) {
  const bool nccl = key.onDevice && exact;  // what NCCL can do
  if (nccl && text == enumName(qcclEnumAlgo, qcclAlgoNccl)) return qcclAlgoNccl;
  if (key.coll == qcclCollReduceScatter) {
    if (text == kDirect) return qcclAlgoAuto;
    if (text == enumName(qcclEnumAlgo, qcclAlgoRing)) return qcclAlgoRing;
    at.refuse(column, text, nccl ? "direct, ring or nccl" : "direct or ring (nccl: only exact, and on GPU memory)");
  }
  const int value = enumValue(qcclEnumAlgo, text.c_str());
  if (value <= qcclAlgoAuto || value == qcclAlgoNccl) {
    at.refuse(
        column, text,
        nccl ? "oneshot, twoshot, ring, tree, hier or nccl" : "oneshot, twoshot, ring, tree or hier (nccl: only exact, and on GPU memory)");
  }
  return static_cast<qcclAlgo_t>(value);
}

TuningRow parseRow(const Place& at, const std::vector<std::string>& cells) {
  TuningRow row;
  TuningKey& key = row.key;
  const int coll = enumValue(qcclEnumColl, cells[0].c_str());
  if (coll != qcclCollAllReduce && coll != qcclCollReduceScatter) at.refuse("collective", cells[0], "allreduce or reducescatter");
  key.coll = static_cast<qcclColl_t>(coll);
  if (cells[1] != "host" && cells[1] != "cuda") at.refuse("memory", cells[1], "host or cuda");
  key.onDevice = cells[1] == "cuda";
  key.path = parsePath(at, key.onDevice, cells[2]);
  key.ranks = parseRange(at, "ranks", cells[3]);
  key.ranksPerHost = parseRange(at, "ranksPerHost", cells[4]);
  if (cells[5] != kAny) {
    const int dtype = enumValue(qcclEnumDataType, cells[5].c_str());
    if (dtype < 0) at.refuse("dtype", cells[5], "float32, bfloat16, float16, another data type, or any");
    key.dtype = static_cast<qcclDataType_t>(dtype);
  }
  if (cells[6] != kQuantized) {
    key.codec = enumValue(qcclEnumCodec, cells[6].c_str());
    if (key.codec < 0) at.refuse("asked", cells[6], strCat("quantized (any codec but none) or one of ", enumNames(qcclEnumCodec)));
  }
  row.upToBytes = parseUpTo(at, cells[7]);
  if (cells[8] != kAsked && cells[8] != kNone) at.refuse("codec", cells[8], "asked, or none where the exact path is faster");
  const bool asked = cells[8] == kAsked;
  row.exact = !asked || key.codec == qcclCodecNone;
  row.algorithm = parseAlgorithm(at, key, row.exact, "algorithm", cells[9]);
  if (asked || key.codec == qcclCodecNone) {
    if (cells[10] != kUnknown) at.refuse("requested", cells[10], "-, where the codec is the one asked for in any case");
    row.keptAlgorithm = row.algorithm;
  } else if (cells[10] != kUnknown) {
    row.keptAlgorithm = parseAlgorithm(at, key, false, "requested", cells[10]);
  }
  return row;
}

// Without what follows '#'.
std::vector<std::string> cellsOf(const std::string& line) {
  std::istringstream words(line.substr(0, line.find('#')));
  std::vector<std::string> cells;
  for (std::string cell; words >> cell;) cells.push_back(cell);
  return cells;
}

void checkVersion(const Place& at, const std::vector<std::string>& cells) {
  if (cells.size() != 2 || cells[0] != kName) {
    fail(qcclInvalidArgument, at.source, ":", at.line, ": not a tuning table: the first line must be \"", kName, " ", kVersion,
         "\"; write one with qccl-perf --tune");
  }
  if (cells[1] != std::to_string(kVersion)) {
    fail(qcclInvalidArgument, at.source, ":", at.line, ": a tuning table of version ", cells[1], ", and this library reads version ",
         kVersion, "; measure anew with the qccl-perf of this library");
  }
}

std::string rangeText(const TuningKey::Range& range) {
  if (range == TuningKey::Range{}) return kAny;
  if (range.first == range.last) return std::to_string(range.first);
  return strCat(range.first, "-", range.last == TuningKey::Range{}.last ? kMax : std::to_string(range.last));
}

std::string algorithmText(const TuningKey& key, qcclAlgo_t algorithm) {
  return key.coll == qcclCollReduceScatter && algorithm == qcclAlgoAuto ? kDirect : enumName(qcclEnumAlgo, algorithm);
}

}  // namespace

std::vector<TuningRow> parseTuning(const std::string& source, const std::string& text, bool builtIn) {
  std::vector<TuningRow> rows;
  std::vector<int> lines;  // of the rows
  std::istringstream input(text);
  bool versionSeen = false;
  int number = 0;
  for (std::string line; std::getline(input, line);) {
    const Place at{source, ++number};
    const std::vector<std::string> cells = cellsOf(line);
    if (cells.empty()) continue;
    if (!versionSeen) {
      checkVersion(at, cells);
      versionSeen = true;
      continue;
    }
    if (cells.size() != kNumColumns) {
      std::string names;
      for (const char* column : kColumns) names += strCat(names.empty() ? "" : " ", column);
      fail(qcclInvalidArgument, source, ":", number, ": ", cells.size(), " columns; write these ", kNumColumns, ": ", names);
    }
    TuningRow row = parseRow(at, cells);
    row.builtIn = builtIn;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].key == row.key && rows[i].upToBytes == row.upToBytes) {
        fail(qcclInvalidArgument, source, ":", number, ": line ", lines[i], " is for the same calls of the same size; remove one of them");
      }
    }
    rows.push_back(row);
    lines.push_back(number);
  }
  if (!versionSeen) checkVersion(Place{source, number + 1}, {});
  return rows;
}

std::string formatTuning(const std::vector<TuningRow>& rows) {
  std::ostringstream text;
  text << kName << ' ' << kVersion << '\n';
  for (const TuningRow& row : rows) {
    const TuningKey& key = row.key;
    const bool asksNone = key.codec == qcclCodecNone;
    text << enumName(qcclEnumColl, key.coll) << ' ' << (key.onDevice ? "cuda" : "host") << ' ' << (key.path ? pathName(*key.path) : kAny)
         << ' ' << rangeText(key.ranks) << ' ' << rangeText(key.ranksPerHost) << ' '
         << (key.dtype ? enumName(qcclEnumDataType, *key.dtype) : kAny) << ' '
         << (key.codec == TuningKey::kQuantized ? kQuantized : enumName(qcclEnumCodec, key.codec)) << ' '
         << (row.upToBytes == TuningRow::kAnySize ? kMax : std::to_string(row.upToBytes)) << ' ' << (row.exact ? kNone : kAsked) << ' '
         << algorithmText(key, row.algorithm) << ' '
         << (row.exact && !asksNone && row.keptAlgorithm ? algorithmText(key, *row.keptAlgorithm) : kUnknown) << '\n';
  }
  return text.str();
}

}  // namespace qccl::collectives
