#include "collectives/feedback.hpp"

#include <cstring>

namespace qccl::collectives {

std::byte* FeedbackMemory::of(const void* input, std::uint64_t fingerprint, std::size_t bytes) {
  const auto [entry, isNew] = residuals_.try_emplace({input, fingerprint});
  std::byte* memory = entry->second.reserve(bytes);
  if (isNew) {
    std::memset(memory, 0, bytes);
    bytes_ += bytes;
  }
  return memory;
}

void FeedbackMemory::clear() {
  residuals_.clear();
  bytes_ = 0;
}

}  // namespace qccl::collectives
