#include "numerics/tables.hpp"

#include <algorithm>
#include <tuple>

namespace qccl::bench::numerics {
namespace {

constexpr qcclAlgo_t kAlgorithms[] = {qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree, qcclAlgoHier};
constexpr qcclCodec_t kBlockCodecs[] = {qcclCodecInt8,    qcclCodecInt6,    qcclCodecInt5,   qcclCodecInt4,
                                        qcclCodecFp8E4m3, qcclCodecFp8E5m2, qcclCodecFp4E2m1};
constexpr qcclCodec_t kFewCodecs[] = {qcclCodecInt8, qcclCodecInt5, qcclCodecInt4, qcclCodecFp8E4m3};
constexpr Signs kSigns[] = {Signs::independent, Signs::aligned, Signs::positive};

class Builder {
 public:
  explicit Builder(const std::vector<CapturedStep>& steps) : steps_(steps) {}

  std::vector<Case> take() { return std::move(cases_); }

  void algorithms() {
    for (const int ranks : {2, 4, 8, 16, 32, 64}) {
      Case c{.table = "algorithms", .ranks = ranks};
      baselines(c);
      for (const qcclCodec_t codec : kBlockCodecs) everyAlgorithm(with(c, codec));
      everyAlgorithm(with(c, qcclCodecBf16));
    }
  }

  void blocks() {
    for (const DataKind data : {DataKind::normal, DataKind::heavy}) {
      for (const qcclCodec_t codec : kBlockCodecs) {
        for (int block = 32; block <= 4096; block *= 2) {
          cases_.push_back({.table = "blocks", .algorithm = qcclAlgoTwoshot, .codec = codec, .blockElems = block, .data = data});
        }
      }
    }
  }

  void scales() {
    for (const qcclCodec_t codec : kBlockCodecs) {
      for (const int block : {32, 256}) {
        for (const qcclScale_t scale : {qcclScaleFloat32, qcclScaleBfloat16, qcclScaleE8m0}) {
          cases_.push_back({.table = "scales", .algorithm = qcclAlgoTwoshot, .codec = codec, .scale = scale, .blockElems = block});
        }
      }
    }
  }

  void rounding() {
    for (const Signs signs : {Signs::independent, Signs::positive}) {
      for (const qcclCodec_t codec : kFewCodecs) {
        for (const qcclRounding_t rounding : {qcclRoundNearest, qcclRoundStochastic}) {
          everyAlgorithm({.table = "rounding", .codec = codec, .rounding = rounding, .signs = signs});
        }
      }
    }
  }

  void data() {
    for (const DataKind data : {DataKind::normal, DataKind::heavy, DataKind::gradients}) {
      for (const Signs signs : kSigns) {
        Case c{.table = "data", .data = data, .signs = signs};
        if (data == DataKind::gradients) {
          if (steps_.empty() || steps_.back().paths.size() < 2) continue;
          c.step = steps_.back().step;
          c.ranks = std::min(c.ranks, static_cast<int>(steps_.back().paths.size()));
        }
        baselines(c);
        for (const qcclCodec_t codec : kFewCodecs) everyAlgorithm(with(c, codec));
      }
    }
  }

  void gradients() {
    for (const CapturedStep& step : steps_) {
      const int all = static_cast<int>(step.paths.size());
      for (int ranks = 2; ranks <= all; ranks *= 2) {
        Case c{.table = "gradients", .ranks = ranks, .data = DataKind::gradients, .step = step.step};
        baselines(c);
        everyAlgorithm(c);
        if (ranks * 2 <= all) continue;
        for (const qcclCodec_t codec : kBlockCodecs) {
          if (codec != qcclCodecInt8) everyAlgorithm(with(c, codec));
        }
      }
    }
  }

 private:
  static Case with(Case c, qcclCodec_t codec) {
    c.codec = codec;
    return c;
  }

  // Hosts of four ranks, of two if there are only four.
  void everyAlgorithm(const Case& c) {
    for (const qcclAlgo_t algorithm : kAlgorithms) {
      Case one = c;
      one.algorithm = algorithm;
      if (algorithm == qcclAlgoHier) {
        one.ranksPerHost = c.ranks > 4 ? 4 : 2;
        if (c.ranks <= one.ranksPerHost || c.ranks % one.ranksPerHost != 0) continue;
      }
      cases_.push_back(one);
    }
  }

  // The exact path over a ring: it adds in FP32 and rounds each partial sum to the type when it leaves a rank, as NCCL's ring does.
  void baselines(Case c) {
    c.algorithm = qcclAlgoRing;
    c.codec = qcclCodecNone;
    cases_.push_back(c);
    c.dtype = qcclBfloat16;
    cases_.push_back(c);
  }

  const std::vector<CapturedStep>& steps_;
  std::vector<Case> cases_;
};

template <typename T>
bool allows(const std::vector<T>& only, const T& value) {
  return only.empty() || std::find(only.begin(), only.end(), value) != only.end();
}

}  // namespace

std::vector<std::string> tableNames() { return {"algorithms", "blocks", "scales", "rounding", "data", "gradients", "outliers"}; }

bool wants(const Options& options, const std::string& table) { return allows(options.tables, table); }

std::vector<Case> casesOf(const Options& options, const std::vector<CapturedStep>& steps) {
  Builder builder(steps);
  if (wants(options, "algorithms")) builder.algorithms();
  if (wants(options, "blocks")) builder.blocks();
  if (wants(options, "scales")) builder.scales();
  if (wants(options, "rounding")) builder.rounding();
  if (wants(options, "data")) builder.data();
  if (wants(options, "gradients")) builder.gradients();
  std::vector<Case> cases;
  for (const Case& c : builder.take()) {
    if (allows(options.ranks, c.ranks) && allows(options.algorithms, c.algorithm) && allows(options.codecs, c.codec)) cases.push_back(c);
  }
  return cases;
}

}  // namespace qccl::bench::numerics
