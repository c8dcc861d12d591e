#include "collectives/selector.hpp"

#include "collectives/algorithm_table.hpp"
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

void chooseAlgorithm(qcclColl_t coll, std::size_t bytes, const RankLayout& ranks, Choice* choice) {
  if (coll == qcclCollReduceScatter) {
    if (choice->quant.algorithm != qcclAlgoRing) choice->quant.algorithm = qcclAlgoAuto;
    return;
  }
  if (coll != qcclCollAllReduce) {
    choice->quant.algorithm = qcclAlgoAuto;
    return;
  }
  if (choice->quant.algorithm != qcclAlgoAuto) {
    if (const std::string why = obstacle(choice->quant.algorithm, ranks); !why.empty()) {
      fail(qcclInvalidArgument, "algorithm ", enumName(qcclEnumAlgo, choice->quant.algorithm), " was requested, but ", why);
    }
    choice->reason += "; the algorithm is as configured";
    return;
  }
  const bool quantized = choice->quant.codec != qcclCodecNone;
  if (quantized && ranks.size == 2) {
    choice->quant.algorithm = qcclAlgoOneshot;
    choice->reason += "; oneshot: between two ranks it sends no more than the others and quantizes once";
  } else if (bytes <= kOneshotMaxBytes && ranks.size <= kOneshotMaxRanks) {
    choice->quant.algorithm = qcclAlgoOneshot;
    choice->reason += "; oneshot: small message, fewest steps";
  } else if (bytes <= kOneshotMaxBytes) {
    choice->quant.algorithm = qcclAlgoTree;
    choice->reason += "; tree: small message, many ranks";
  } else if (ranks.ranksPerHost > 1 && ranks.hosts() > 1 && obstacle(qcclAlgoHier, ranks).empty()) {
    choice->quant.algorithm = qcclAlgoHier;
    choice->reason += strCat("; hier: ", ranks.hosts(), " hosts of ", ranks.ranksPerHost, " ranks, fewest bytes between them");
  } else {
    choice->quant.algorithm = qcclAlgoTwoshot;
    choice->reason += quantized ? "; twoshot: two quantizations at any number of ranks" : "; twoshot: large message";
  }
}

}  // namespace

QuantDefaults resolve(const qcclQuantConfig_t& config, const QuantDefaults& defaults) {
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
  if (config.seed != UINT64_MAX) result.quant.seed = config.seed;
  if (config.minBytes != UINT64_MAX) result.minBytes = config.minBytes;
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
  chooseAlgorithm(coll, bytes, ranks, &choice);
  return choice;
}

}  // namespace qccl::collectives
