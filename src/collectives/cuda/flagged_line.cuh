// Words that carry their flag: 4 bytes of data and a flag in one 8-byte store, which arrives as a whole; so there is no fence, and no flag
// apart. Two of them at a time.
#pragma once

#include <cstdint>

namespace qccl::collectives::cuda {

struct alignas(16) FlaggedLine {
  std::uint32_t words[2];

  // True, and the words are there, once both carry the flag. `at` is aligned to 16 bytes.
  __device__ __forceinline__ bool load(const void* at, std::uint32_t flag) {
    std::uint64_t first, second;
    asm volatile("ld.relaxed.sys.global.v2.u64 {%0, %1}, [%2];" : "=l"(first), "=l"(second) : "l"(at) : "memory");
    words[0] = static_cast<std::uint32_t>(first);
    words[1] = static_cast<std::uint32_t>(second);
    return static_cast<std::uint32_t>(first >> 32) == flag && static_cast<std::uint32_t>(second >> 32) == flag;
  }
  __device__ __forceinline__ void store(void* at, std::uint32_t flag) const {
    const std::uint64_t high = std::uint64_t{flag} << 32;
    asm volatile("st.relaxed.sys.global.v2.u64 [%0], {%1, %2};" : : "l"(at), "l"(high | words[0]), "l"(high | words[1]) : "memory");
  }
};
static_assert(sizeof(FlaggedLine) == 16);

}  // namespace qccl::collectives::cuda
