// What error feedback remembers from call to call: for every buffer that is reduced again and again, the errors of its last call's codes,
// in 8 bits a value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "collectives/staging.hpp"

namespace qccl::collectives {

class FeedbackMemory {
 public:
  // The residual of the calls with this input buffer and this fingerprint of all that the call says but its number: zeros at first. Valid
  // until clear().
  std::byte* of(const void* input, std::uint64_t fingerprint, std::size_t bytes);

  std::size_t bytes() const { return bytes_; }
  void clear();

 private:
  std::map<std::pair<const void*, std::uint64_t>, StagingMemory> residuals_;
  std::size_t bytes_ = 0;
};

}  // namespace qccl::collectives
