#include "perf/json_lines.hpp"

#include <qccl/qccl.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "perf/collective.hpp"

namespace qccl::bench {
namespace {

// Of qccl's kernels on the GPU; 0: the library's own choice.
long threadBlocks() {
  const char* text = std::getenv("QCCL_THREAD_BLOCKS");
  return text != nullptr ? std::strtol(text, nullptr, 10) : 0;
}

}  // namespace

std::string jsonLine(const Options& options, const char* transport, int ranks, const Measurement& m) {
  nlohmann::ordered_json line;
  line["collective"] = qcclEnumName(qcclEnumColl, options.collective);
  line["algo"] = m.algorithm;
  line["codec"] = m.codec;
  line["dtype"] = qcclEnumName(qcclEnumDataType, options.dtype);
  line["ranks"] = ranks;
  line["transport"] = transport;
  line["bytes"] = m.bytes;
  line["time_us"] = m.timing.medianUs;
  line["algbw_gbs"] = m.algbwGBs;
  line["busbw_gbs"] = m.busbwGBs;
  line["wire_bytes"] = m.wireBytes;
  line["predicted_snr_db"] = nullptr;
  line["snr_db"] = nullptr;
  line["max_err_over_bound"] = nullptr;
  line["rank_identical"] = nullptr;
  line["repeatable"] = nullptr;
  line["wrong"] = nullptr;
  if (std::isfinite(m.predictedSnrDb)) line["predicted_snr_db"] = m.predictedSnrDb;
  if (m.quality) {
    if (std::isfinite(m.quality->snrDb)) line["snr_db"] = m.quality->snrDb;
    line["max_err_over_bound"] = m.quality->maxErrOverBound;
    if (m.quality->rankIdentical) line["rank_identical"] = *m.quality->rankIdentical;
    line["repeatable"] = m.quality->repeatable;
    line["wrong"] = m.quality->numWrong;
  }
  line["in_place"] = m.inPlace;
  line["op"] = isReduction(options.collective) ? qcclEnumName(qcclEnumRedOp, options.op) : "none";
  line["count"] = m.count;
  line["block"] = m.blockElems;
  line["scale"] = qcclEnumName(qcclEnumScale, options.scale);
  line["rounding"] = qcclEnumName(qcclEnumRounding, options.rounding);
  line["exact_wire_bytes"] = m.exactWireBytes;
  line["memory"] = memoryName(options.memory);
  line["graph"] = options.graph;
  line["blocks"] = threadBlocks();
  line["iters"] = m.timing.iterations;
  line["calls_per_iter"] = m.callsPerIteration;
  line["mean_us"] = m.timing.meanUs;
  line["min_us"] = m.timing.minUs;
  line["p95_us"] = m.timing.p95Us;
  line["data"] = dataKindName(options.data);
  line["seed"] = options.seed;
  line["against"] = nullptr;
  line["against_time_us"] = nullptr;
  line["ratio"] = nullptr;
  if (m.against) {
    line["against"] = againstName(options.against);
    line["against_time_us"] = m.against->medianUs;
    line["ratio"] = *m.ratio();
  }
  line["reason"] = m.reason;
  return line.dump();
}

}  // namespace qccl::bench
