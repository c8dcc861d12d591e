// Memory for messages and sums in flight: one growing block a communicator, reused by every call.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace qccl::collectives {

class StagingMemory {
 public:
  static constexpr std::size_t kAlign = 64;

  // At least `bytes`, aligned to kAlign; contents undefined. Valid until the next call.
  std::byte* reserve(std::size_t bytes) {
    if (bytes > bytes_) {
      block_.reset();
      bytes_ = 0;
      block_.reset(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kAlign})));
      bytes_ = bytes;
    }
    return block_.get();
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{kAlign}); }
  };
  std::unique_ptr<std::byte, Free> block_;
  std::size_t bytes_ = 0;
};

}  // namespace qccl::collectives
