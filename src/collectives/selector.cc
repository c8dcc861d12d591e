#include "collectives/selector.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <vector>

#include "collectives/algorithm_table.hpp"
#include "collectives/noise_model.hpp"
#include "core/error.hpp"
#include "core/types.hpp"
#include "quant/wire_format.hpp"

namespace qccl::collectives {
namespace {

bool quantizable(qcclColl_t coll) { return coll == qcclCollAllReduce || coll == qcclCollReduceScatter; }

// Why codec int8 cannot be used; empty if it can.
std::string obstacle(qcclColl_t coll, qcclDataType_t dtype, qcclRedOp_t op) {
  if (!quantizable(coll)) return strCat(enumName(qcclEnumColl, coll), " is always exact");
  if (!isQuantizable(dtype)) return strCat(enumName(qcclEnumDataType, dtype), " is not quantized, only float32, bfloat16 and float16 are");
  if (!isQuantizable(op)) return strCat(enumName(qcclEnumRedOp, op), " is not quantized, only sum and avg are");
  return "";
}

// One call's choice: the facts that all its steps need.
class Selector {
 public:
  Selector(qcclColl_t coll, std::size_t bytes, qcclDataType_t dtype, qcclRedOp_t op, const RankLayout& ranks, const Situation& situation,
           bool requested, bool explains)
      : coll_(coll),
        bytes_(bytes),
        dtype_(dtype),
        ranks_(ranks),
        situation_(situation),
        keepsCodec_(requested || !situation.mayReplaceCodec),
        canUseNccl_(situation.canUseNccl && situation.mayReplaceCodec),
        isOnlyNccls_(situation.devicePath && ranks.size > 1 && !hasDeviceKernels(coll, dtype, op)),
        explains_(explains) {}

  struct Candidate {
    qcclAlgo_t algorithm;
    bool exact;  // codec none, whatever is asked for
    std::string reason;
  };

  // What a call that asks for `quant` may run with, the fastest first; never empty. Throws if the algorithm that was asked for cannot run.
  std::vector<Candidate> candidates(const Quantization& quant) const {
    if (isOnlyNccls_) return {{qcclAlgoNccl, false, "nccl: qccl's own kernels have sum and avg of float32, bfloat16 and float16"}};
    if (coll_ != qcclCollAllReduce && coll_ != qcclCollReduceScatter) return {{qcclAlgoAuto, false, "the only algorithm"}};
    if (quant.algorithm != qcclAlgoAuto) return {configured(quant)};
    std::vector<Candidate> result = {measured(quant.codec)};
    if (coll_ == qcclCollAllReduce && quant.codec != qcclCodecNone && !result.front().exact) addMorePrecise(quant, &result);
    return result;
  }

 private:
  // Why `algorithm` cannot run; empty if it can.
  std::string obstacle(qcclAlgo_t algorithm) const {
    if (algorithm == qcclAlgoNccl && !situation_.devicePath)
      return "NCCL has no calls on host memory; leave the algorithm to the library (auto)";
    if (algorithm == qcclAlgoNccl && !situation_.mayReplaceCodec) {
      return "this call cannot be handed over to NCCL; leave the algorithm to the library (auto)";
    }
    if (algorithm == qcclAlgoAuto || !algorithmRow(algorithm).needsHosts) return "";
    if (ranks_.ranksPerHost == 0) {
      return "the ranks do not lie on hosts as rank = host * ranksPerHost + index, with equally many on each; number them so, or set "
             "ranksPerHost (QCCL_RANKS_PER_HOST)";
    }
    if (ranks_.size % ranks_.ranksPerHost != 0) {
      return strCat("ranksPerHost = ", ranks_.ranksPerHost, " does not divide the ", ranks_.size,
                    " ranks of the communicator; set a divisor, or 0 for the layout that the ranks found");
    }
    return "";
  }

  std::string asConfigured(const char* name) const { return explains_ ? strCat(name, " as configured") : ""; }

  Candidate configured(const Quantization& quant) const {
    // Reduce-scatter has no others: the direct exchange stands for them.
    if (coll_ == qcclCollReduceScatter && quant.algorithm != qcclAlgoRing && quant.algorithm != qcclAlgoNccl) {
      return {qcclAlgoAuto, false, "the direct exchange"};
    }
    const char* name = enumName(qcclEnumAlgo, quant.algorithm);
    const std::string why = obstacle(quant.algorithm);
    if (!why.empty()) fail(qcclInvalidArgument, "algorithm ", name, " was requested, but ", why);
    if (quant.algorithm != qcclAlgoNccl || quant.codec == qcclCodecNone) return {quant.algorithm, false, asConfigured(name)};
    if (keepsCodec_) {
      fail(qcclInvalidArgument, "algorithm nccl is exact, but codec ", enumName(qcclEnumCodec, quant.codec),
           " was requested with it; use codec none, or another algorithm");
    }
    return {quant.algorithm, true, asConfigured(name)};
  }

  // What the tuning table says.
  Candidate measured(qcclCodec_t codec) const {
    const TuningQuery query{
        coll_, situation_.devicePath.has_value(), situation_.path(ranks_), ranks_.size, ranks_.ranksPerHost, dtype_, codec, bytes_};
    const auto algorithmIn = [&](const TuningRow& row) {
      return row.exact && codec != qcclCodecNone && keepsCodec_ ? row.keptAlgorithm : std::optional(row.algorithm);
    };
    const TuningRow* row = situation_.tuning->find(query, [&](const TuningRow& each) {
      const std::optional<qcclAlgo_t> algorithm = algorithmIn(each);
      return algorithm && obstacle(*algorithm).empty() && (*algorithm != qcclAlgoNccl || canUseNccl_);
    });
    QCCL_CHECK(row != nullptr);  // the rows built in are for every call
    const qcclAlgo_t algorithm = *algorithmIn(*row);
    const bool exact = row->exact && codec != qcclCodecNone && !keepsCodec_;
    return {algorithm, exact, reasonOf(*row, algorithm, exact, codec)};
  }

  // "oneshot: measured fastest up to 262144 bytes (tuning table)"
  std::string reasonOf(const TuningRow& row, qcclAlgo_t algorithm, bool exact, qcclCodec_t codec) const {
    if (!explains_) return "";
    std::string reason = algorithm == qcclAlgoAuto ? "the direct exchange" : enumName(qcclEnumAlgo, algorithm);
    if (algorithm == qcclAlgoHier) reason += strCat(" over ", ranks_.hosts(), " hosts of ", ranks_.ranksPerHost, " ranks");
    reason += row.builtIn ? ": taken" : ": measured fastest";
    if (exact) reason += strCat(" instead of ", enumName(qcclEnumCodec, codec));
    reason += row.upToBytes == TuningRow::kAnySize ? std::string(" for this size") : strCat(" up to ", row.upToBytes, " bytes");
    return reason + (row.builtIn ? " (built-in tuning table)" : " (tuning table)");
  }

  // For calls that what is fastest is not precise enough for.
  void addMorePrecise(const Quantization& quant, std::vector<Candidate>* result) const {
    const auto add = [&](qcclAlgo_t algorithm, const char* reason) {
      if (result->front().algorithm != algorithm) result->push_back({algorithm, false, reason});
    };
    add(qcclAlgoTwoshot, "twoshot: two quantizations at any number of ranks");
    // As long as its W - 1 messages are fewer bytes than those of the exact path.
    const std::size_t frame = quant::frameElems(quant.blockElems);
    if (quant::packedBytes(frame, quant.format()) * static_cast<std::size_t>(ranks_.size) < 2 * frame * typeSize(dtype_)) {
      add(qcclAlgoOneshot, "oneshot: one quantization");
    }
  }

  const qcclColl_t coll_;
  const std::size_t bytes_;
  const qcclDataType_t dtype_;
  const RankLayout ranks_;
  const Situation& situation_;
  const bool keepsCodec_;
  const bool canUseNccl_;
  const bool isOnlyNccls_;  // whatever is asked for
  const bool explains_;
};

// The codecs to go to, in this order, where `codec` is not precise enough: no shorter, and shorter than the values themselves.
std::vector<qcclCodec_t> widerCodecs(qcclCodec_t codec, qcclDataType_t dtype) {
  std::vector<qcclCodec_t> result;
  for (const qcclCodec_t wider : {qcclCodecInt5, qcclCodecInt6, qcclCodecInt8, qcclCodecBf16}) {
    const bool longEnough = quant::codeBits(wider) > quant::codeBits(codec) || (wider == qcclCodecInt8 && quant::codeBits(codec) == 8);
    if (wider != codec && longEnough && quant::codeBits(wider) < 8 * typeSize(dtype)) result.push_back(wider);
  }
  return result;
}

// "36.1 dB"
std::string decibels(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f dB", value);
  return text;
}

}  // namespace

qcclQuantConfig_t knownFields(const qcclQuantConfig_t& config) {
  qcclQuantConfig_t known = QCCL_QUANT_CONFIG_INITIALIZER;
  std::size_t size = 0;
  std::memcpy(&size, &config, sizeof(size));
  if (size < offsetof(qcclQuantConfig_t, scale) || size > 4096) {
    fail(qcclInvalidArgument,
         "the qcclQuantConfig_t was not initialized; start from `qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;`");
  }
  std::memcpy(&known, &config, std::min(size, sizeof(known)));
  known.size = sizeof(known);
  return known;
}

QuantDefaults resolve(const qcclQuantConfig_t& given, const QuantDefaults& defaults) {
  const qcclQuantConfig_t config = knownFields(given);
  QuantDefaults result = defaults;
  const auto pick = [](int value, qcclEnum_t kind, const char* field, auto* target) {
    if (value == QCCL_UNDEF_INT) return;
    if (enumName(kind, value) == nullptr) {
      fail(qcclInvalidArgument, "qcclQuantConfig_t.", field, " = ", value, " is not one of ", enumNames(kind),
           "; start from QCCL_QUANT_CONFIG_INITIALIZER");
    }
    *target = static_cast<std::remove_reference_t<decltype(*target)>>(value);
  };
  pick(config.codec, qcclEnumCodec, "codec", &result.quant.codec);
  pick(config.scale, qcclEnumScale, "scale", &result.quant.scale);
  pick(config.algorithm, qcclEnumAlgo, "algorithm", &result.quant.algorithm);
  pick(config.rounding, qcclEnumRounding, "rounding", &result.quant.rounding);
  if (config.blockElems != QCCL_UNDEF_INT) {
    if (config.blockElems <= 0 || !quant::isValidBlock(static_cast<std::size_t>(config.blockElems))) {
      fail(qcclInvalidArgument, "qcclQuantConfig_t.blockElems = ", config.blockElems, " must be a power of two from ",
           quant::kMinBlockElems, " to ", quant::kMaxBlockElems);
    }
    result.quant.blockElems = static_cast<std::size_t>(config.blockElems);
  }
  if (config.errorFeedback != QCCL_UNDEF_INT) {
    if (config.errorFeedback != 0 && config.errorFeedback != 1)
      fail(qcclInvalidArgument, "qcclQuantConfig_t.errorFeedback = ", config.errorFeedback, " must be 0 or 1");
    result.quant.errorFeedback = config.errorFeedback == 1;
  }
  if (config.seed != UINT64_MAX) result.quant.seed = config.seed;
  if (config.minBytes != UINT64_MAX) result.minBytes = config.minBytes;
  if (!(config.minSnrDb < 0)) {
    if (!(config.minSnrDb <= kMaxSnrDb))
      fail(qcclInvalidArgument, "qcclQuantConfig_t.minSnrDb = ", config.minSnrDb, " must be from 0 to ", kMaxSnrDb, " dB");
    result.minSnrDb = config.minSnrDb;
  }
  if (config.inspectEvery != QCCL_UNDEF_INT) {
    if (config.inspectEvery < 0)
      fail(qcclInvalidArgument, "qcclQuantConfig_t.inspectEvery = ", config.inspectEvery, " must not be negative");
    result.quant.inspectEvery = config.inspectEvery;
  }
  if (config.ranksPerHost != QCCL_UNDEF_INT) {
    if (config.ranksPerHost < 0)
      fail(qcclInvalidArgument, "qcclQuantConfig_t.ranksPerHost = ", config.ranksPerHost, " must not be negative");
    result.quant.ranksPerHost = config.ranksPerHost;
  }
  return result;
}

Choice choose(qcclColl_t coll, std::size_t count, qcclDataType_t dtype, qcclRedOp_t op, const Situation& situation,
              const QuantDefaults& wanted, bool requested, bool explains) {
  const auto text = [&](const auto&... parts) { return explains ? strCat(parts...) : std::string(); };
  const RankLayout ranks = situation.layout(wanted.quant);
  Quantization asked = wanted.quant;
  asked.ranksPerHost = ranks.ranksPerHost;
  const std::size_t elems = coll == qcclCollReduceScatter ? count * static_cast<std::size_t>(ranks.size) : count;
  const std::size_t bytes = elems * typeSize(dtype);
  const std::string why = obstacle(coll, dtype, op);
  std::string kind;  // of what is asked for
  if (asked.codec == qcclCodecNone) {
    kind = "exact: no codec is configured";
  } else if (!why.empty()) {
    if (requested) {
      fail(qcclInvalidArgument, "codec ", enumName(qcclEnumCodec, asked.codec), " was requested, but ", why,
           "; use codec none for this call");
    }
    asked.codec = qcclCodecNone;
    kind = "exact: " + why;
  } else if (ranks.size == 1) {
    asked.codec = qcclCodecNone;
    kind = "exact: one rank sends nothing";
  } else if (bytes < wanted.minBytes) {
    asked.codec = qcclCodecNone;
    kind = text("exact: ", bytes, " bytes are fewer than the minimum of ", wanted.minBytes, " (minBytes)");
  } else {
    kind = text("quantized: ", enumName(qcclEnumCodec, asked.codec), " as configured");
  }

  const Selector selector(coll, bytes, dtype, op, ranks, situation, requested, explains);
  Choice choice;
  double best = 0;  // dB that `asked` can be expected to give
  // Takes the first candidate that is precise enough; false if there is none.
  const auto takePreciseEnough = [&] {
    for (const Selector::Candidate& candidate : selector.candidates(asked)) {
      choice.quant = asked;
      choice.quant.algorithm = candidate.algorithm;
      if (candidate.exact) choice.quant.codec = qcclCodecNone;
      const double snrDb = wanted.minSnrDb > 0 ? predictedSnrDb(coll, choice.quant, ranks) : 0;
      best = std::max(best, snrDb);
      if (snrDb < wanted.minSnrDb) continue;
      choice.reason = text(candidate.exact ? "exact" : kind, "; ", candidate.reason);
      return true;
    }
    return false;
  };
  if (takePreciseEnough()) return choice;
  const std::string tooLittle = strCat(enumName(qcclEnumCodec, asked.codec), " can be expected to give ", decibels(best),
                                       ", less than the minimum of ", decibels(wanted.minSnrDb), " (minSnrDb)");
  if (requested) fail(qcclInvalidArgument, tooLittle, "; ask for less, for smaller blocks or another algorithm, or for codec none");
  for (const qcclCodec_t wider : widerCodecs(wanted.quant.codec, dtype)) {
    asked.codec = wider;
    kind = strCat("quantized: ", enumName(qcclEnumCodec, wider), ", because ", tooLittle);
    if (takePreciseEnough()) return choice;
  }
  asked.codec = qcclCodecNone;
  kind = "exact: " + tooLittle;
  takePreciseEnough();  // the exact path always is
  return choice;
}

}  // namespace qccl::collectives
