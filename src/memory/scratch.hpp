// The double buffer that saved tensors are dequantized into: while one half is computed with, the other is filled.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "memory/pool.hpp"
#include "memory/stream_set.hpp"

namespace qccl::memory {

class Scratch {
 public:
  // Two halves of halfBytes each, at `first` and `second`. `owner` begins its sentences: "pool acts".
  Scratch(std::string owner, MemorySpace& space, std::byte* first, std::byte* second, std::size_t halfBytes);

  void* take(std::string_view name, std::size_t bytes, StreamHandle stream);
  Named giveBack(void* memory, StreamHandle stream);
  std::size_t usedBytes() const { return halves_[0].usedBytes() + halves_[1].usedBytes(); }

 private:
  struct Half {
    std::byte* data = nullptr;
    bool taken = false;
    Named user;         // the one who has it, or had it last
    StreamSet streams;  // of that user
    std::size_t usedBytes() const { return taken ? user.bytes : 0; }
  };

  std::string owner_;
  MemorySpace& space_;
  std::size_t halfBytes_;
  std::array<Half, 2> halves_;
  std::size_t next_ = 0;  // whose turn it is
};

}  // namespace qccl::memory
