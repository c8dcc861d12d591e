#include "perf/table.hpp"

#include <fmt/format.h>
#include <qccl/qccl.h>

#include <cmath>

#include "perf/collective.hpp"

namespace qccl::bench {
namespace {

// Columns of one placement, and those of a comparison behind them.
constexpr const char* kNames = "{:>10} {:>8} {:>8} {:>11} {:>7} {:>9} {:>7} {:>5} {:>5}";
constexpr const char* kAgainstNames = " {:>10} {:>7}";

std::string yesNo(const std::optional<bool>& value) { return !value ? "-" : *value ? "yes" : "NO"; }

std::string number(double value, int digits) { return std::isinf(value) ? "inf" : fmt::format("{:.{}f}", value, digits); }

std::string againstColumns(const Options& options, const std::string& time, const std::string& ratio) {
  return options.against == Against::none ? "" : fmt::format(fmt::runtime(kAgainstNames), time, ratio);
}

std::string half(const Options& options, const Measurement& m) {
  const std::string against =
      m.against ? againstColumns(options, number(m.against->medianUs, 2), number(*m.ratio(), 3)) : againstColumns(options, "-", "-");
  if (!m.quality)
    return fmt::format(fmt::runtime(kNames), number(m.timing.medianUs, 2), number(m.algbwGBs, 3), number(m.busbwGBs, 3), m.wireBytes, "-",
                       "-", "-", "-", "-") +
           against;
  const Quality& q = *m.quality;
  const std::string bound = q.maxErrOverBound > 1e6 ? "> 1e6" : number(q.maxErrOverBound, 4);
  return fmt::format(fmt::runtime(kNames), number(m.timing.medianUs, 2), number(m.algbwGBs, 3), number(m.busbwGBs, 3), m.wireBytes,
                     number(q.snrDb, 2), bound, q.numWrong, yesNo(q.rankIdentical), yesNo(q.repeatable)) +
         against;
}

std::string emptyHalf(const Options& options) {
  return fmt::format(fmt::runtime(kNames), "N/A", "N/A", "N/A", "N/A", "N/A", "N/A", "N/A", "N/A", "N/A") +
         againstColumns(options, "N/A", "N/A");
}

std::string halfHead(const Options& options, bool units) {
  if (units)
    return fmt::format(fmt::runtime(kNames), "(us)", "(GB/s)", "(GB/s)", "(B/rank)", "(dB)", "", "", "", "") +
           againstColumns(options, "(us)", "");
  return fmt::format(fmt::runtime(kNames), "time", "algbw", "busbw", "wire", "SNR", "err/bound", "#wrong", "same", "again") +
         againstColumns(options, againstName(options.against), "ratio");
}

std::string opName(const Options& options) { return isReduction(options.collective) ? qcclEnumName(qcclEnumRedOp, options.op) : "none"; }

}  // namespace

std::string tableHead(const Options& options, const char* transport, int ranks, const std::string& memory, const std::string& against) {
  const char* collective = qcclEnumName(qcclEnumColl, options.collective);
  std::string head =
      fmt::format("# qccl-perf {}  ranks {}  transport {}  algo {}  codec {}  block {}  scale {}  rounding {}  data {}  seed {}\n",
                  collective, ranks, transport, qcclEnumName(qcclEnumAlgo, options.algorithm), qcclEnumName(qcclEnumCodec, options.codec),
                  options.blockElems, qcclEnumName(qcclEnumScale, options.scale), qcclEnumName(qcclEnumRounding, options.rounding),
                  dataKindName(options.data), options.seed);
  head +=
      "# time: median over iterations of the slowest rank; wire: payload bytes of the rank that sends most; same: all ranks hold the same "
      "bits; again: a second call gives them again\n";
  if (options.memory != MemoryKind::host) {
    head +=
        fmt::format("# memory {}; an iteration is a sample of up to 10 calls, {}, and its time that of one of them by the GPU's clock\n",
                    memory, options.graph ? "replayed from a CUDA graph" : "enqueued one after another");
  }
  if (options.against != Against::none) {
    head += fmt::format(
        "# {}: the median time of {}, in turn with qccl on the same buffers; ratio: that over qccl's time, above 1 qccl is faster\n",
        againstName(options.against), against);
  }
  const std::size_t width = halfHead(options, false).size();
  const std::string left = fmt::format("# {:>12} {:>12} {:>10} {:>5} {:>8} {:>5}", "", "", "", "", "", "");
  head += fmt::format("{}   {:^{}}   {:^{}}\n", left, "out of place", width, "in place", width);
  head += fmt::format("# {:>12} {:>12} {:>10} {:>5} {:>8} {:>5}   {}   {}\n", "size", "count", "type", "redop", "algo", "codec",
                      halfHead(options, false), halfHead(options, false));
  head += fmt::format("# {:>12} {:>12} {:>10} {:>5} {:>8} {:>5}   {}   {}\n", "(B)", "(elements)", "", "", "", "", halfHead(options, true),
                      halfHead(options, true));
  return head;
}

std::string tableRow(const Options& options, const Measurement& outOfPlace, const Measurement* inPlace) {
  return fmt::format("  {:>12} {:>12} {:>10} {:>5} {:>8} {:>5}   {}   {}\n", outOfPlace.bytes, outOfPlace.count,
                     qcclEnumName(qcclEnumDataType, options.dtype), opName(options), outOfPlace.algorithm, outOfPlace.codec,
                     half(options, outOfPlace), inPlace != nullptr ? half(options, *inPlace) : emptyHalf(options));
}

std::string tableFoot(const Options& options, std::uint64_t failures, double busbwSum, std::size_t measurements) {
  std::string foot =
      fmt::format("# Avg bus bandwidth    : {:.4f} GB/s\n", measurements > 0 ? busbwSum / static_cast<double>(measurements) : 0.0);
  if (!options.check) return foot + "# Checks               : off\n";
  return foot + fmt::format("# Checks               : {}\n",
                            failures == 0 ? "OK" : fmt::format("{} of {} measurements FAILED", failures, measurements));
}

}  // namespace qccl::bench
