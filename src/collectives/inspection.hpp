// Inspection of a quantized call: a sample of its input elements is summed exactly as well, and the call's result is compared with that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "collectives/call.hpp"
#include "collectives/selector.hpp"

namespace qccl::collectives {

// At most this many elements of a call; a message of 16 KiB, which costs little beside a call worth quantizing.
inline constexpr std::size_t kInspectedElems = 4096;

class Inspection {
 public:
  // Takes the sample from the call's input, before the call may overwrite it. `elems` of the whole message; `sequence` is the call's number
  // and, with elems, decides alone which elements are taken: one in each of equally long stretches.
  Inspection(const Call& call, std::size_t elems, std::uint64_t sequence);

  // The exact all-reduce of the sample, to be run on all ranks. Valid as long as this object.
  Call exactCall(const Situation& situation);

  struct Outcome {
    std::size_t elems = 0;  // that could be compared: in this rank's output, and finite
    double signalEnergy = 0;
    double noiseEnergy = 0;
  };
  // After both calls. The call's output begins at element `outputFirstElem` of the message and has outputElems.
  Outcome compare(const Call& call, std::size_t outputFirstElem, std::size_t outputElems) const;

 private:
  std::vector<std::size_t> indices_;
  std::vector<float> sample_;  // of the own input; after the exact call the sums
  qcclRedOp_t op_;
};

}  // namespace qccl::collectives
