// One allocation from a memory space.
#pragma once

#include <cstddef>
#include <string>

#include "memory/memory_space.hpp"

namespace qccl::memory {

// The space must outlive it.
class Arena {
 public:
  // Throws Error that begins with `what`, has the bytes and says why, if the space does not have them.
  Arena(const std::string& what, MemorySpace& space, std::size_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* at(std::size_t offset) const { return data_ + offset; }
  std::size_t bytes() const { return bytes_; }

 private:
  MemorySpace& space_;
  std::size_t bytes_;
  std::byte* data_;
};

}  // namespace qccl::memory
