#include "perf/table.hpp"

#include <fmt/format.h>
#include <qccl/qccl.h>

#include <cmath>

#include "perf/collective.hpp"

namespace qccl::bench {
namespace {

// Columns of one placement.
constexpr const char* kNames = "{:>10} {:>8} {:>8} {:>11} {:>7} {:>9} {:>7} {:>5} {:>5}";

std::string yesNo(const std::optional<bool>& value) { return !value ? "-" : *value ? "yes" : "NO"; }

std::string number(double value, int digits) { return std::isinf(value) ? "inf" : fmt::format("{:.{}f}", value, digits); }

std::string half(const Measurement& m) {
  if (!m.quality)
    return fmt::format(fmt::runtime(kNames), number(m.timing.medianUs, 2), number(m.algbwGBs, 3), number(m.busbwGBs, 3), m.wireBytes, "-",
                       "-", "-", "-", "-");
  const Quality& q = *m.quality;
  const std::string bound = q.maxErrOverBound > 1e6 ? "> 1e6" : number(q.maxErrOverBound, 4);
  return fmt::format(fmt::runtime(kNames), number(m.timing.medianUs, 2), number(m.algbwGBs, 3), number(m.busbwGBs, 3), m.wireBytes,
                     number(q.snrDb, 2), bound, q.numWrong, yesNo(q.rankIdentical), yesNo(q.repeatable));
}

std::string emptyHalf() { return fmt::format(fmt::runtime(kNames), "N/A", "N/A", "N/A", "N/A", "N/A", "N/A", "N/A", "N/A", "N/A"); }

std::string halfHead(bool units) {
  if (units) return fmt::format(fmt::runtime(kNames), "(us)", "(GB/s)", "(GB/s)", "(B/rank)", "(dB)", "", "", "", "");
  return fmt::format(fmt::runtime(kNames), "time", "algbw", "busbw", "wire", "SNR", "err/bound", "#wrong", "same", "again");
}

std::string opName(const Options& options) { return isReduction(options.collective) ? qcclEnumName(qcclEnumRedOp, options.op) : "none"; }

}  // namespace

std::string tableHead(const Options& options, const char* transport, int ranks) {
  const char* collective = qcclEnumName(qcclEnumColl, options.collective);
  std::string head =
      fmt::format("# qccl-perf {}  ranks {}  transport {}  algo {}  codec {}  block {}  rounding {}  data {}  seed {}\n", collective, ranks,
                  transport, qcclEnumName(qcclEnumAlgo, options.algorithm), qcclEnumName(qcclEnumCodec, options.codec), options.blockElems,
                  qcclEnumName(qcclEnumRounding, options.rounding), dataKindName(options.data), options.seed);
  head +=
      "# time: median over iterations of the slowest rank; wire: payload bytes of the rank that sends most; same: all ranks hold the same "
      "bits; again: a second call gives them again\n";
  const std::string left = fmt::format("# {:>12} {:>12} {:>10} {:>5} {:>8} {:>5}", "", "", "", "", "", "");
  head += fmt::format("{}   {:^78}   {:^78}\n", left, "out of place", "in place");
  head += fmt::format("# {:>12} {:>12} {:>10} {:>5} {:>8} {:>5}   {}   {}\n", "size", "count", "type", "redop", "algo", "codec",
                      halfHead(false), halfHead(false));
  head += fmt::format("# {:>12} {:>12} {:>10} {:>5} {:>8} {:>5}   {}   {}\n", "(B)", "(elements)", "", "", "", "", halfHead(true),
                      halfHead(true));
  return head;
}

std::string tableRow(const Options& options, const Measurement& outOfPlace, const Measurement* inPlace) {
  return fmt::format("  {:>12} {:>12} {:>10} {:>5} {:>8} {:>5}   {}   {}\n", outOfPlace.bytes, outOfPlace.count,
                     qcclEnumName(qcclEnumDataType, options.dtype), opName(options), outOfPlace.algorithm, outOfPlace.codec,
                     half(outOfPlace), inPlace != nullptr ? half(*inPlace) : emptyHalf());
}

std::string tableFoot(const Options& options, std::uint64_t failures, double busbwSum, std::size_t measurements) {
  std::string foot =
      fmt::format("# Avg bus bandwidth    : {:.4f} GB/s\n", measurements > 0 ? busbwSum / static_cast<double>(measurements) : 0.0);
  if (!options.check) return foot + "# Checks               : off\n";
  return foot + fmt::format("# Checks               : {}\n",
                            failures == 0 ? "OK" : fmt::format("{} of {} measurements FAILED", failures, measurements));
}

}  // namespace qccl::bench
