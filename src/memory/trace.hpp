// The calls that a pool got, as lines of text: what the logging adaptor writes and what pool-bench replays.
//
//   save MICROBATCH NAME CODE_BYTES SCALE_BYTES STREAM
//   restore MICROBATCH NAME STREAM
//   peek MICROBATCH NAME STREAM
//   discard MICROBATCH
//   allocate ID NAME BYTES STREAM
//   free ID STREAM
//   # anything: a comment
//
// ID and STREAM are numbers in the order of first appearance, from 0. Blanks in names become underscores.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "memory/saved_tensor.hpp"

namespace qccl::memory {

struct TraceEvent {
  enum class Kind { save, restore, peek, discard, allocate, free };
  Kind kind = Kind::save;
  std::uint64_t number = 0;  // of the micro-batch, or ID
  std::string name;
  TensorBytes bytes;  // allocate: in codes
  std::size_t stream = 0;
  bool operator==(const TraceEvent&) const = default;
};

std::string formatEvent(const TraceEvent& event);  // without a newline

// Comments and empty lines are left out. Throws Error(qcclInvalidArgument) with the number of a line that is none of the above.
std::vector<TraceEvent> readTrace(std::istream& in);

}  // namespace qccl::memory
