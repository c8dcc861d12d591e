#include "perf/tune.hpp"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/api.hpp"
#include "common/median.hpp"
#include "perf/collective.hpp"
#include "perf/input_data.hpp"
#include "perf/peer.hpp"
#include "perf/timing.hpp"
#include "perf/tune_choice.hpp"
#include "perf/tune_file.hpp"
#include "perf/tune_table.hpp"

namespace qccl::bench {
namespace {

constexpr int kRounds = 3;

// A way to make the calls, and how to ask the library for it.
struct Variant {
  Way way;
  qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
};

// What the tuning table calls the algorithms of a collective. Those of reduce-scatter: twoshot stands for the direct exchange.
std::string nameOf(qcclColl_t collective, int algorithm) {
  return collective == qcclCollReduceScatter && algorithm == qcclAlgoTwoshot ? "direct" : qcclEnumName(qcclEnumAlgo, algorithm);
}

// Everything for one data type.
class TypeTuning {
 public:
  TypeTuning(const Options& options, Rank& rank, Memory& memory, char* send, char* recv)
      : options_(options), rank_(rank), memory_(memory), sizes_(options.sizes()), peer_(makePeer(options, rank, memory)) {
    check(qcclCommGetTuningKey(rank.comm(), memoryOf(options), &key_), "qcclCommGetTuningKey", rank.comm());
    operands_.send = send;
    operands_.recv = recv;
    const std::size_t elems = shapeAt(sizes_.back()).sendElems;
    const InputData data(options, rank.size());
    memory.write(send, elems * qcclTypeSize(options.dtype), [&](void* to) { data.fill(rank.index(), elems, to); });
  }

  // Rank 0 prints. The lines for the file, the same on every rank.
  std::vector<std::string> run(const char* transport) {
    std::vector<Variant> exact = variants(qcclCodecNone);
    std::vector<Variant> quantized = options_.codec != qcclCodecNone ? variants(options_.codec) : std::vector<Variant>{};
    if (peer_) exact.push_back(ncclVariant());
    std::vector<Variant*> all;
    for (std::vector<Variant>* kind : {&exact, &quantized}) {
      for (Variant& variant : *kind) all.push_back(&variant);
    }
    for (const std::size_t bytes : sizes_) measure(shapeAt(bytes), all);
    if (peer_) peer_->finish();
    const TuneTimes times{sizes_, waysOf(exact), waysOf(quantized)};
    if (rank_.index() == 0) printTuneTimes(options_, transport, key_, memory_.description(), times);
    std::vector<std::string> lines = linesFor(qcclCodecNone, tunedRows(sizes_, times.exact, {}));
    if (quantized.empty()) return lines;
    const std::vector<std::string> more = linesFor(options_.codec, tunedRows(sizes_, times.exact, times.quantized));
    lines.insert(lines.end(), more.begin(), more.end());
    return lines;
  }

 private:
  static std::vector<Way> waysOf(const std::vector<Variant>& of) {
    std::vector<Way> ways;
    for (const Variant& variant : of) ways.push_back(variant.way);
    return ways;
  }

  Shape shapeAt(std::size_t bytes) const { return shapeOf(options_.collective, bytes, options_.dtype, rank_.size()); }

  std::vector<std::string> linesFor(qcclCodec_t asked, const std::vector<TunedRow>& rows) const {
    return tuneLines(tuneKey(options_.collective, memoryName(options_.memory), key_, options_.dtype, asked), merged(rows));
  }

  // Whether an algorithm is worth the time: one that is another one under these conditions is not.
  bool isOfUse(int algorithm) const {
    if (algorithm == qcclAlgoNccl && peer_) return false;  // measured directly
    if (options_.collective == qcclCollReduceScatter) {
      return algorithm == qcclAlgoTwoshot || algorithm == qcclAlgoRing || algorithm == qcclAlgoNccl;
    }
    const int hosts = key_.ranksPerHost > 0 ? key_.ranks / key_.ranksPerHost : 0;
    return algorithm != qcclAlgoHier || (hosts > 1 && key_.ranksPerHost > 1);
  }

  // The algorithms that the library can run with this codec. Throws ToolError with its reason if there is none.
  std::vector<Variant> variants(qcclCodec_t codec) const {
    std::vector<Variant> result;
    std::string refusal;
    qcclAlgoInfo_t info;
    for (int index = 0; qcclGetAlgorithmInfo(index, &info) == qcclSuccess; ++index) {
      if (!isOfUse(info.algorithm)) continue;
      Variant variant;
      variant.way.algorithm = nameOf(options_.collective, info.algorithm);
      variant.way.exact = codec == qcclCodecNone;
      variant.quant.codec = codec;
      variant.quant.algorithm = info.algorithm;
      variant.quant.minBytes = 0;
      variant.quant.minSnrDb = 0;
      qcclPlan_t plan;
      if (qcclCommExplainIn(rank_.comm(), memoryOf(options_), options_.collective, shapeAt(sizes_.back()).count, options_.dtype,
                            options_.op, &variant.quant, &plan) != qcclSuccess) {
        refusal = qcclGetLastError(nullptr);
        continue;
      }
      variant.way.error = plan.errorBound;
      result.push_back(variant);
    }
    if (result.empty()) throw ToolError("--tune: " + refusal);
    return result;
  }

  static Variant ncclVariant() {
    Variant variant;
    variant.way.algorithm = qcclEnumName(qcclEnumAlgo, qcclAlgoNccl);
    variant.way.exact = true;
    variant.quant.algorithm = qcclAlgoNccl;
    return variant;
  }

  // In rounds, so that what disturbs the machine for a moment does not spoil the time of one variant alone.
  void measure(const Shape& shape, const std::vector<Variant*>& all) {
    std::vector<std::vector<double>> times(all.size());
    for (int round = 0; round < kRounds; ++round) {
      for (std::size_t i = 0; i < all.size(); ++i) times[i].push_back(time(shape, *all[i]));
    }
    for (std::size_t i = 0; i < all.size(); ++i) all[i]->way.times.push_back(median(times[i]));
  }

  double time(const Shape& shape, const Variant& variant) {
    const bool byPeer = peer_ != nullptr && variant.quant.algorithm == qcclAlgoNccl;
    const auto function = options_.collective == qcclCollReduceScatter ? qcclReduceScatterEx : qcclAllReduceEx;
    const std::function<void()> call = [&] {
      if (byPeer) return peer_->run(shape, operands_.send, operands_.recv, false);
      check(function(operands_.send, operands_.recv, shape.count, options_.dtype, options_.op, &variant.quant, rank_.comm(),
                     memory_.stream()),
            "--tune", rank_.comm());
    };
    return timeCalls(options_, operands_, rank_, memory_, call).qccl.medianUs;
  }

  const Options& options_;
  Rank& rank_;
  Memory& memory_;
  const std::vector<std::size_t> sizes_;
  std::unique_ptr<Peer> peer_;
  qcclTuningKey_t key_{};
  Operands operands_;
};

Options ofType(const Options& options, qcclDataType_t dtype) {
  Options result = options;
  result.dtype = dtype;
  result.seconds /= kRounds;
  return result;
}

}  // namespace

void requireTuning(const Options& options) { requireTuneFile(options.tunePath); }

void runTuning(const Options& options, Rank& rank, Memory& memory, const char* transport) {
  if (rank.size() < 2) throw ToolError("--tune: one rank sends nothing, so that there is nothing to choose; start at least two (--ranks)");
  std::size_t bytes = 0;
  for (const qcclDataType_t dtype : options.tuneTypes) {
    const Shape shape = shapeOf(options.collective, options.sizes().back(), dtype, rank.size());
    bytes = std::max(bytes, shape.totalElems * qcclTypeSize(dtype));
  }
  char* const send = memory.allocate(bytes);
  char* const recv = memory.allocate(bytes);
  std::vector<std::string> lines;
  for (const qcclDataType_t dtype : options.tuneTypes) {
    const Options each = ofType(options, dtype);
    const std::vector<std::string> more = TypeTuning(each, rank, memory, send, recv).run(transport);
    lines.insert(lines.end(), more.begin(), more.end());
  }
  if (rank.index() != 0) return;
  updateTuneFile(options.tunePath, lines);
  std::printf("# %zu rows written to %s\n", lines.size(), options.tunePath.c_str());
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

}  // namespace qccl::bench
