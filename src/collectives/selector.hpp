// What a call will do: checks a quantization request and fills in what it leaves open.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "collectives/call.hpp"
#include "collectives/rank_layout.hpp"
#include "collectives/tuning_table.hpp"

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

// What a choice depends on besides the call's arguments: the same on all ranks of a communicator.
struct Situation {
  Situation(const RankLayout& ranks,  // NOLINT(google-explicit-constructor): on host memory there is often no more to say
            std::shared_ptr<const TuningTable> table = builtInTuning())
      : found(ranks), tuning(std::move(table)) {}

  RankLayout found;  // how the ranks lie on hosts, where wanted.quant.ranksPerHost does not say otherwise
  std::shared_ptr<const TuningTable> tuning;
  std::optional<RankPath> devicePath;  // of a call on GPU memory; none: on host memory
  bool canUseNccl = false;             // NCCL can make this call in our place
  bool mayReplaceCodec = true;         // false: the buffers hold codes, or parts of the message have codecs of their own

  // What is configured replaces what was found.
  RankLayout layout(const Quantization& quant) const {
    return {found.size, quant.ranksPerHost > 0 ? quant.ranksPerHost : found.ranksPerHost};
  }
  RankPath path(const RankLayout& ranks) const {
    const bool oneHost = ranks.size == 1 || ranks.hosts() == 1;
    return devicePath.value_or(oneHost ? RankPath::oneHost : RankPath::severalHosts);
  }
};

struct Choice {
  Quantization quant;
  std::string reason;  // one sentence, if it was asked for
};

// `requested`: the codec was asked for with this very call. It is then never replaced by the exact path for the sake of speed, and what
// cannot be met is refused with qcclInvalidArgument. A function of its arguments alone: every rank chooses alike. `explains`: false leaves
// the reason out, which takes longer to write than all else.
Choice choose(qcclColl_t coll, std::size_t count, qcclDataType_t dtype, qcclRedOp_t op, const Situation& situation,
              const QuantDefaults& wanted, bool requested, bool explains = true);

}  // namespace qccl::collectives
