// A tile is what one thread block works on: kTileElems values, which are whole blocks of any length. A warp has kWarpElems of them that lie
// together, and each thread kThreadElems, all of one block: a team of threads shares a block of up to kWarpElems, a longer one is shared by
// whole warps. So what is worked out once a block (its place, its scale, a division) is worked out once a thread, and each value is held in
// a register from the first look at it (the block's largest magnitude) to its code.
//
// A thread's values are rows of one group each. In a row the groups of a team are neighbours: accesses of a team are contiguous.
#pragma once

#include <cstdint>

#include "quant/cuda/group.cuh"
#include "quant/cuda/packed_layout.hpp"

namespace qccl::quant::cuda {

inline constexpr std::uint32_t kWarpThreads = 32;
inline constexpr std::uint32_t kThreads = 256;
inline constexpr std::uint32_t kRows = 4;
template <typename T>
inline constexpr std::uint32_t kThreadElems = kRows* kGroupElems<T>;
template <typename T>
inline constexpr std::uint32_t kWarpElems = kWarpThreads* kThreadElems<T>;
template <typename T>
inline constexpr std::uint32_t kTileElems = kThreads* kThreadElems<T>;
static_assert(kTileElems<F32> % kMaxBlockElems == 0 && kTileElems<F16> % kMaxBlockElems == 0);
// Two threads of a team may share a byte of codes (PlaneGroup).
static_assert(kMinBlockElems >= 2 * kThreadElems<F32> && kMinBlockElems >= kThreadElems<F16>);

// This thread's part of a tile, for values of type T in blocks of 2^blockShift.
template <typename T>
struct Part {
  std::uint64_t tileFirst;  // number of the tile's first value in the message
  bool last;                // whether the message ends with this tile
  std::uint32_t tileElems;  // values from there to the end; more than kTileElems count as that
  std::uint32_t teamFirst;  // number in the tile of the first value of this thread's team
  std::uint32_t teamThreads;

  // Of a message of `elems` values, which the tile's begin lies in.
  __device__ __forceinline__ Part(std::uint64_t elems, std::uint32_t blockShift, std::uint32_t tile)
      : tileFirst(std::uint64_t{tile} * kTileElems<T>) {
    const std::uint64_t left = elems - tileFirst;
    last = left <= kTileElems<T>;
    tileElems = left < kTileElems<T> ? static_cast<std::uint32_t>(left) : kTileElems<T>;
    teamThreads = min(kWarpThreads, (1u << blockShift) / kThreadElems<T>);  // a power of two
    teamFirst = (threadIdx.x & ~(teamThreads - 1)) * kThreadElems<T>;
  }

  // Number in the team's values of the first one of this thread's group in a row.
  __device__ __forceinline__ std::uint32_t inTeam(std::uint32_t row) const {
    return (row * teamThreads + (threadIdx.x & (teamThreads - 1))) * kGroupElems<T>;
  }
  __device__ __forceinline__ std::uint64_t first(std::uint32_t row) const { return tileFirst + teamFirst + inTeam(row); }

  // How many values of that group there are: fewer than kGroupElems at the end of the message, 0 behind it.
  __device__ __forceinline__ std::uint32_t count(std::uint32_t row) const {
    const std::uint32_t begin = teamFirst + inTeam(row);
    return begin >= tileElems ? 0 : min(tileElems - begin, kGroupElems<T>);
  }

  // Whether all groups of all threads are whole and, at `values`, aligned. The same for the thread block.
  __device__ __forceinline__ bool isWhole(const unsigned char* values) const {
    return tileElems == kTileElems<T> && isGroupAligned(values);
  }

  // The thread's values, zeros behind the end.
  __device__ __forceinline__ void load(const unsigned char* values, RawGroup (&groups)[kRows]) const {
    if (isWhole(values)) {
#pragma unroll
      for (std::uint32_t row = 0; row < kRows; ++row) groups[row] = loadGroup(values + first(row) * T::kBytes);
    } else {
#pragma unroll
      for (std::uint32_t row = 0; row < kRows; ++row) groups[row] = loadSome<T>(values + first(row) * T::kBytes, count(row));
    }
  }

  __device__ __forceinline__ void store(const RawGroup (&groups)[kRows], unsigned char* values) const {
    if (isWhole(values)) {
#pragma unroll
      for (std::uint32_t row = 0; row < kRows; ++row) storeGroup(values + first(row) * T::kBytes, groups[row]);
    } else {
#pragma unroll
      for (std::uint32_t row = 0; row < kRows; ++row) storeSome<T>(values + first(row) * T::kBytes, groups[row], count(row));
    }
  }

  // Where the team's first value lies in a packed buffer: its block's first one, but in blocks of several warps.
  __device__ __forceinline__ GroupPlace place(unsigned char* packed, const PackedLayout& layout) const {
    const std::uint32_t inFrameMask = (1u << layout.frameShift) - 1;
    const std::uint64_t tileFrame = tileFirst >> layout.frameShift;
    const std::uint32_t begin = (static_cast<std::uint32_t>(tileFirst) & inFrameMask) + teamFirst;
    const std::uint32_t further = begin >> layout.frameShift;
    const std::uint64_t frame = tileFrame + further;
    FrameSections sections = {0, 0, 0};
    if (frame < layout.wholeFrames) sections = layout.whole;
    if (frame == layout.wholeFrames) sections = layout.last;
    return {packed + tileFrame * layout.whole.end + further * layout.whole.end, begin & inFrameMask, sections};
  }

  // Whether there is a value for this thread's team; and whether this thread is the first of its block.
  __device__ __forceinline__ bool any() const { return teamFirst < tileElems; }
  __device__ __forceinline__ bool beginsBlock(std::uint32_t blockElems) const {
    return any() && (threadIdx.x & (teamThreads - 1)) == 0 && (teamFirst & (blockElems - 1)) == 0;
  }
};

__device__ __forceinline__ std::uint32_t loadScale(const GroupPlace& place, const PackedLayout& layout) {
  const unsigned char* scale = place.frame + (place.inFrame >> layout.blockShift) * layout.scaleBytes;
  if (layout.scaleBytes == 4) return *reinterpret_cast<const std::uint32_t*>(scale);
  return layout.scaleBytes == 2 ? *reinterpret_cast<const std::uint16_t*>(scale) : *scale;
}

__device__ __forceinline__ void storeScale(const GroupPlace& place, const PackedLayout& layout, std::uint32_t stored) {
  unsigned char* scale = place.frame + (place.inFrame >> layout.blockShift) * layout.scaleBytes;
  if (layout.scaleBytes == 4) {
    *reinterpret_cast<std::uint32_t*>(scale) = stored;
  } else if (layout.scaleBytes == 2) {
    *reinterpret_cast<std::uint16_t*>(scale) = static_cast<std::uint16_t>(stored);
  } else {
    *scale = static_cast<unsigned char>(stored);
  }
}

// Zeroes what the scales of the last frame leave of their section. For one thread of the message.
__device__ __forceinline__ void clearScalePadding(unsigned char* packed, const PackedLayout& layout) {
  unsigned char* frame = packed + layout.wholeFrames * layout.whole.end;
  for (std::uint32_t i = layout.lastScalesBytes; i < layout.last.low; ++i) frame[i] = 0;
}

// One word a warp, for blocks longer than kWarpElems.
struct WarpWords {
  std::uint32_t words[kThreads / kWarpThreads];
};

// The largest `most` of a block. All threads of the thread block call this together; `shared` is used once.
template <typename T>
__device__ __forceinline__ std::uint32_t maximumOfBlock(std::uint32_t most, std::uint32_t blockElems, WarpWords& shared) {
  constexpr std::uint32_t kAll = 0xffffffffu;
  if (blockElems >= kWarpElems<T>) {
    most = __reduce_max_sync(kAll, most);
  } else {
#pragma unroll
    for (std::uint32_t distance = 1; distance < kWarpThreads; distance *= 2)
      if (distance * kThreadElems<T> < blockElems) most = max(most, __shfl_xor_sync(kAll, most, distance));
  }
  if (blockElems <= kWarpElems<T>) return most;
  const std::uint32_t warp = threadIdx.x / kWarpThreads;
  if (threadIdx.x % kWarpThreads == 0) shared.words[warp] = most;
  __syncthreads();
  const std::uint32_t blockWarps = blockElems / kWarpElems<T>;
  for (std::uint32_t i = 0; i < blockWarps; ++i) most = max(most, shared.words[(warp & ~(blockWarps - 1)) + i]);
  return most;
}

}  // namespace qccl::quant::cuda
