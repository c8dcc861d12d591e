#include "collectives/statistics.hpp"

#include <cmath>
#include <cstdio>
#include <limits>

#include "core/error.hpp"

namespace qccl::collectives {

qcclStats_t noStatistics() {
  qcclStats_t none{};
  none.size = sizeof(none);
  none.snrDb = std::numeric_limits<double>::quiet_NaN();
  return none;
}

Statistics::Statistics() : total_(noStatistics()), last_(noStatistics()) {}

void Statistics::add(const qcclStats_t& call) {
  const std::lock_guard lock(mutex_);
  last_ = call;
  total_.calls += call.calls;
  total_.quantizedCalls += call.quantizedCalls;
  total_.elems += call.elems;
  total_.quantizedElems += call.quantizedElems;
  total_.wireBytes += call.wireBytes;
  total_.exactWireBytes += call.exactWireBytes;
  total_.nonFiniteBlocks += call.nonFiniteBlocks;
  total_.encodedBlocks += call.encodedBlocks;
  total_.sampledElems += call.sampledElems;
  total_.saturatedElems += call.saturatedElems;
  total_.flushedElems += call.flushedElems;
  total_.inspectedCalls += call.inspectedCalls;
  total_.inspectedElems += call.inspectedElems;
  total_.signalEnergy += call.signalEnergy;
  total_.noiseEnergy += call.noiseEnergy;
}

namespace {

qcclStats_t withSnr(qcclStats_t stats) {
  if (stats.inspectedElems > 0) stats.snrDb = 10 * std::log10(stats.signalEnergy / stats.noiseEnergy);
  return stats;
}

std::string megabytes(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f MB", static_cast<double>(bytes) * 1e-6);
  return text;
}

}  // namespace

qcclStats_t Statistics::total() const {
  const std::lock_guard lock(mutex_);
  return withSnr(total_);
}

qcclStats_t Statistics::lastCall() const {
  const std::lock_guard lock(mutex_);
  return withSnr(last_);
}

std::string describe(const qcclStats_t& stats) {
  std::string text =
      strCat(stats.calls, " calls (", stats.quantizedCalls, " quantized), ", stats.elems, " elements (", stats.quantizedElems,
             " quantized), sent ", megabytes(stats.wireBytes), " instead of ", megabytes(stats.exactWireBytes), ", ", stats.nonFiniteBlocks,
             " of ", stats.encodedBlocks, " blocks not finite");
  if (stats.sampledElems > 0) {
    text += strCat("; of ", stats.sampledElems, " sampled elements ", stats.saturatedElems, " saturated and ", stats.flushedElems,
                   " flushed to zero");
  }
  if (stats.inspectedElems > 0) {
    char snr[64];
    std::snprintf(snr, sizeof(snr), "; SNR %.1f dB over ", stats.snrDb);
    text += strCat(snr, stats.inspectedElems, " elements of ", stats.inspectedCalls, " inspected calls");
  }
  return text;
}

}  // namespace qccl::collectives
