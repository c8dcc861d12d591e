// What a call will do: checks a quantization request and fills in what it leaves open.
#pragma once

#include <string>

#include "collectives/call.hpp"
#include "collectives/rank_layout.hpp"

namespace qccl::collectives {

// A quantization with every field decided except algorithm, which may be auto, and ranksPerHost, which may be 0: as the ranks lie.
struct QuantDefaults {
  Quantization quant;
  std::uint64_t minBytes = 0;
  double minSnrDb = 0;  // that the call can be expected to have (noise_model.hpp); 0: none asked for
};

// More than any codec has; a larger minimum is a mistake.
inline constexpr double kMaxSnrDb = 200;

// As far as the caller's struct reaches; fields that its version did not know are undefined. Throws Error(qcclInvalidArgument) if it was
// not initialized.
qcclQuantConfig_t knownFields(const qcclQuantConfig_t& config);

// `config` over `defaults`. Throws Error(qcclInvalidArgument) naming a field that is out of range.
QuantDefaults resolve(const qcclQuantConfig_t& config, const QuantDefaults& defaults);

struct Choice {
  Quantization quant;
  std::string reason;  // one sentence
};

// Choice for a call over ranks that were found to lie on hosts as `found` says (wanted.quant.ranksPerHost replaces that). `requested`: the
// codec was asked for with this very call, so what cannot be met is refused with qcclInvalidArgument instead of taking the exact path. A
// function of its arguments alone: every rank chooses alike.
Choice choose(qcclColl_t coll, std::size_t count, qcclDataType_t dtype, qcclRedOp_t op, const RankLayout& found,
              const QuantDefaults& wanted, bool requested);

}  // namespace qccl::collectives
