// A message of oneshot_kernel.cuh: the codes of a tile, in the order of the lanes' registers, and a scale a block.
//
// No code of a byte is 0x80: integers end at -127, and the other formats keep no sign of a zero. So a byte that is not 0x80 (kAbsent) says
// by itself that it has arrived: a reader waits until no byte of a message is, and writes 0x80 over all of them when it has them.
#pragma once

#include <cstdint>

#include "collectives/cuda/wait.cuh"

namespace qccl::collectives::cuda {

inline constexpr std::uint32_t kAbsentWord = kAbsent * 0x01010101u;

__device__ __forceinline__ uint4 loadRelaxed(const uint4* p) {
  uint4 v;
  asm volatile("ld.relaxed.sys.global.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p) : "memory");
  return v;
}
__device__ __forceinline__ void storeRelaxed(uint4* p, const uint4& v) {
  asm volatile("st.relaxed.sys.global.v4.u32 [%0], {%1, %2, %3, %4};" : : "l"(p), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}

// A lane's codes, in the order of its values, and the scale of its block.
template <std::uint32_t kLaneElems>
struct LaneCodes {
  std::uint32_t words[kLaneElems / 4];
  std::uint32_t scale;

  __device__ __forceinline__ std::uint32_t code(std::uint32_t i) const { return words[i / 4] >> (i % 4 * 8) & 0xff; }
  __device__ __forceinline__ bool isThere() const {
    std::uint32_t absent = 0;  // its bits 7, 15, 23 and 31, where a byte is kAbsent (or, above such a byte, kAbsent ^ 1)
#pragma unroll
    for (const std::uint32_t word : words) absent |= ((word ^ kAbsentWord) - 0x01010101u) & ~(word ^ kAbsentWord);
    return (absent & 0x80808080u) == 0 && scale != kAbsentWord;
  }
};

// A message in an arena, as a warp writes and reads it: the first 16 codes of every lane, the next 16 of every lane, scales.
template <std::uint32_t kLaneElems>
struct Slot {
  static constexpr std::uint32_t kParts = kLaneElems / 16;
  static_assert(kParts * 16 == kLaneElems && 32 * kLaneElems + 128 <= kOneshotSlotBytes);
  unsigned char* bytes;

  __device__ __forceinline__ uint4* codes(std::uint32_t part) const {
    return reinterpret_cast<uint4*>(bytes) + part * 32 + threadIdx.x % 32;
  }
  __device__ __forceinline__ std::uint32_t* scale(std::uint32_t team) const {
    return reinterpret_cast<std::uint32_t*>(bytes + 32 * kLaneElems) + team;
  }
  // `leads`: this lane is the first of its team, which shares a block.
  __device__ __forceinline__ void store(const LaneCodes<kLaneElems>& lane, std::uint32_t team, bool leads) const {
#pragma unroll
    for (std::uint32_t part = 0; part < kParts; ++part) {
      const std::uint32_t* words = lane.words + 4 * part;
      storeRelaxed(codes(part), make_uint4(words[0], words[1], words[2], words[3]));
    }
    if (leads) storeRelaxed(scale(team), lane.scale);
  }
  __device__ __forceinline__ LaneCodes<kLaneElems> load(std::uint32_t team) const {
    LaneCodes<kLaneElems> lane;
#pragma unroll
    for (std::uint32_t part = 0; part < kParts; ++part) {
      const uint4 words = loadRelaxed(codes(part));
      lane.words[4 * part] = words.x, lane.words[4 * part + 1] = words.y, lane.words[4 * part + 2] = words.z,
                     lane.words[4 * part + 3] = words.w;
    }
    lane.scale = loadRelaxed(scale(team));
    return lane;
  }
  __device__ __forceinline__ void clear(std::uint32_t team, bool leads) const {
#pragma unroll
    for (std::uint32_t part = 0; part < kParts; ++part) {
      storeRelaxed(codes(part), make_uint4(kAbsentWord, kAbsentWord, kAbsentWord, kAbsentWord));
    }
    if (leads) storeRelaxed(scale(team), kAbsentWord);
  }
};

}  // namespace qccl::collectives::cuda
