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

// First thresholds; a table measured for each machine will replace them.
constexpr std::size_t kOneshotMaxBytes = 32 << 10;
constexpr int kOneshotMaxRanks = 8;

bool quantizable(qcclColl_t coll) { return coll == qcclCollAllReduce || coll == qcclCollReduceScatter; }

// Why codec int8 cannot be used; empty if it can.
std::string obstacle(qcclColl_t coll, qcclDataType_t dtype, qcclRedOp_t op) {
  if (!quantizable(coll)) return strCat(enumName(qcclEnumColl, coll), " is always exact");
  if (!isQuantizable(dtype)) return strCat(enumName(qcclEnumDataType, dtype), " is not quantized, only float32, bfloat16 and float16 are");
  if (!isQuantizable(op)) return strCat(enumName(qcclEnumRedOp, op), " is not quantized, only sum and avg are");
  return "";
}

// Why `algorithm` cannot run over these ranks; empty if it can.
std::string obstacle(qcclAlgo_t algorithm, const RankLayout& ranks) {
  if (!algorithmRow(algorithm).needsHosts) return "";
  if (ranks.ranksPerHost == 0) {
    return "the ranks do not lie on hosts as rank = host * ranksPerHost + index, with equally many on each; number them so, or set "
           "ranksPerHost (QCCL_RANKS_PER_HOST)";
  }
  if (ranks.size % ranks.ranksPerHost != 0) {
    return strCat("ranksPerHost = ", ranks.ranksPerHost, " does not divide the ", ranks.size,
                  " ranks of the communicator; set a divisor, or 0 for the layout that the ranks found");
  }
  return "";
}

struct Candidate {
  qcclAlgo_t algorithm;
  std::string reason;
};

// What the call may run with, cheapest first; never empty. Throws if the algorithm that was asked for cannot run.
std::vector<Candidate> candidates(qcclColl_t coll, std::size_t bytes, qcclDataType_t dtype, const Quantization& quant,
                                  const RankLayout& ranks) {
  if (coll == qcclCollReduceScatter) {
    if (quant.algorithm == qcclAlgoRing) return {{qcclAlgoRing, "ring as configured"}};
    return {{qcclAlgoAuto, "the direct exchange"}};
  }
  if (coll != qcclCollAllReduce) return {{qcclAlgoAuto, "the only algorithm"}};
  if (quant.algorithm != qcclAlgoAuto) {
    const char* name = enumName(qcclEnumAlgo, quant.algorithm);
    const std::string why = obstacle(quant.algorithm, ranks);
    if (!why.empty()) fail(qcclInvalidArgument, "algorithm ", name, " was requested, but ", why);
    return {{quant.algorithm, strCat(name, " as configured")}};
  }
  const bool quantized = quant.codec != qcclCodecNone;
  if (quantized && ranks.size == 2) {
    return {{qcclAlgoOneshot, "oneshot: between two ranks it sends no more than the others and quantizes once"}};
  }
  std::vector<Candidate> result;
  if (bytes <= kOneshotMaxBytes && ranks.size <= kOneshotMaxRanks) return {{qcclAlgoOneshot, "oneshot: small message, fewest steps"}};
  if (bytes <= kOneshotMaxBytes) {
    result.push_back({qcclAlgoTree, "tree: small message, many ranks"});
  } else if (ranks.ranksPerHost > 1 && ranks.hosts() > 1 && obstacle(qcclAlgoHier, ranks).empty()) {
    result.push_back(
        {qcclAlgoHier, strCat("hier: ", ranks.hosts(), " hosts of ", ranks.ranksPerHost, " ranks, fewest bytes between them")});
  }
  result.push_back({qcclAlgoTwoshot, quantized ? "twoshot: two quantizations at any number of ranks" : "twoshot: large message"});
  // As long as its W - 1 messages are fewer bytes than those of the exact path.
  const std::size_t frame = quant::frameElems(quant.blockElems);
  if (quantized && quant::packedBytes(frame, quant.format()) * static_cast<std::size_t>(ranks.size) < 2 * frame * typeSize(dtype)) {
    result.push_back({qcclAlgoOneshot, "oneshot: one quantization"});
  }
  return result;
}

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

Choice choose(qcclColl_t coll, std::size_t count, qcclDataType_t dtype, qcclRedOp_t op, const RankLayout& found,
              const QuantDefaults& wanted, bool requested) {
  const RankLayout ranks{found.size, wanted.quant.ranksPerHost > 0 ? wanted.quant.ranksPerHost : found.ranksPerHost};
  Choice choice{wanted.quant, ""};
  choice.quant.ranksPerHost = ranks.ranksPerHost;
  const std::size_t elems = coll == qcclCollReduceScatter ? count * static_cast<std::size_t>(ranks.size) : count;
  const std::size_t bytes = elems * typeSize(dtype);
  const std::string why = obstacle(coll, dtype, op);
  if (wanted.quant.codec == qcclCodecNone) {
    choice.reason = "exact: no codec is configured";
  } else if (!why.empty()) {
    if (requested) {
      fail(qcclInvalidArgument, "codec ", enumName(qcclEnumCodec, wanted.quant.codec), " was requested, but ", why,
           "; use codec none for this call");
    }
    choice.quant.codec = qcclCodecNone;
    choice.reason = "exact: " + why;
  } else if (ranks.size == 1) {
    choice.quant.codec = qcclCodecNone;
    choice.reason = "exact: one rank sends nothing";
  } else if (bytes < wanted.minBytes) {
    choice.quant.codec = qcclCodecNone;
    choice.reason = strCat("exact: ", bytes, " bytes are fewer than the minimum of ", wanted.minBytes, " (minBytes)");
  } else {
    choice.reason = strCat("quantized: ", enumName(qcclEnumCodec, wanted.quant.codec), " as configured");
  }
  // The first candidate for choice.quant's codec that is precise enough; false if there is none, with the best there is in *best.
  const auto takePreciseEnough = [&](double* best) {
    for (const Candidate& candidate : candidates(coll, bytes, dtype, choice.quant, ranks)) {
      Quantization tried = choice.quant;
      tried.algorithm = candidate.algorithm;
      const double snrDb = wanted.minSnrDb > 0 ? predictedSnrDb(coll, tried, ranks) : 0;
      *best = std::max(*best, snrDb);
      if (snrDb < wanted.minSnrDb) continue;
      choice.quant.algorithm = candidate.algorithm;
      choice.reason += "; " + candidate.reason;
      return true;
    }
    return false;
  };
  double best = 0;
  if (takePreciseEnough(&best)) return choice;
  const std::string tooLittle = strCat(enumName(qcclEnumCodec, choice.quant.codec), " can be expected to give ", decibels(best),
                                       ", less than the minimum of ", decibels(wanted.minSnrDb), " (minSnrDb)");
  if (requested) fail(qcclInvalidArgument, tooLittle, "; ask for less, for smaller blocks or another algorithm, or for codec none");
  for (const qcclCodec_t wider : widerCodecs(wanted.quant.codec, dtype)) {
    choice.quant.codec = wider;
    choice.reason = strCat("quantized: ", enumName(qcclEnumCodec, wider), ", because ", tooLittle);
    if (takePreciseEnough(&best)) return choice;
  }
  choice.quant.codec = qcclCodecNone;
  choice.reason = "exact: " + tooLittle;
  takePreciseEnough(&best);  // the exact path always is
  return choice;
}

}  // namespace qccl::collectives
