// A tile is what one thread block works on: kTileElems values, which are whole blocks of any length. A warp has kWarpElems of them that lie
// together, in rows of one group a thread, so that every block of up to a row lies in one row, every longer one of up to kWarpElems in one
// warp, and each thread holds the values of its rows in registers from the first look (the block's largest magnitude) to the codes.
#pragma once

#include <cstdint>

#include "quant/cuda/group.cuh"
#include "quant/cuda/packed_layout.hpp"

namespace qccl::quant::cuda {

inline constexpr std::uint32_t kWarpThreads = 32;
inline constexpr std::uint32_t kThreads = 256;
inline constexpr std::uint32_t kThreadElems = 16;
inline constexpr std::uint32_t kWarpElems = kWarpThreads * kThreadElems;
inline constexpr std::uint32_t kTileElems = kThreads * kThreadElems;
inline constexpr std::uint32_t kTileWarps = kThreads / kWarpThreads;
static_assert(kTileElems % kMaxBlockElems == 0);

template <typename T>
inline constexpr std::uint32_t kRows = kThreadElems / kGroupElems<T>;

// This thread's part of this thread block's tile, for values of type T.
template <typename T>
struct Tile {
  std::uint64_t first;  // of the tile
  std::uint32_t elems;  // that are left from there; more than kTileElems count as that

  __device__ __forceinline__ explicit Tile(std::uint64_t total) : first(std::uint64_t{blockIdx.x} * kTileElems) {
    const std::uint64_t left = total - first;
    elems = left < kTileElems ? static_cast<std::uint32_t>(left) : kTileElems;
  }

  // Number in the tile of the first value of this thread's group in a row.
  __device__ __forceinline__ std::uint32_t at(std::uint32_t row) const {
    return threadIdx.x / kWarpThreads * kWarpElems + (row * kWarpThreads + threadIdx.x % kWarpThreads) * kGroupElems<T>;
  }

  // How many values of that group there are: fewer than kGroupElems at the end of the message, 0 behind it.
  __device__ __forceinline__ std::uint32_t count(std::uint32_t row) const {
    const std::uint32_t begin = at(row);
    if (begin >= elems) return 0;
    return elems - begin < kGroupElems<T> ? elems - begin : kGroupElems<T>;
  }

  __device__ __forceinline__ const unsigned char* values(const unsigned char* x, std::uint32_t row) const {
    return x + (first + at(row)) * T::kBytes;
  }
  __device__ __forceinline__ unsigned char* values(unsigned char* x, std::uint32_t row) const { return x + (first + at(row)) * T::kBytes; }

  __device__ __forceinline__ GroupPlace place(unsigned char* packed, const PackedLayout& layout, std::uint32_t row) const {
    const std::uint32_t inFrameMask = (1u << layout.frameShift) - 1;
    const std::uint64_t tileFrame = first >> layout.frameShift;
    const std::uint32_t begin = (static_cast<std::uint32_t>(first) & inFrameMask) + at(row);
    const std::uint32_t further = begin >> layout.frameShift;
    const std::uint64_t frame = tileFrame + further;
    FrameSections sections = {0, 0, 0};
    if (frame < layout.wholeFrames) sections = layout.whole;
    if (frame == layout.wholeFrames) sections = layout.last;
    return {packed + tileFrame * layout.whole.end + further * layout.whole.end, begin & inFrameMask, sections};
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

// Zeroes what is left of the scales' section after the block of this group, the last one of the message.
__device__ __forceinline__ void clearScalePadding(const GroupPlace& place, const PackedLayout& layout) {
  const std::uint32_t used = ((place.inFrame >> layout.blockShift) + 1) * layout.scaleBytes;
  for (std::uint32_t i = used; i < place.sections.low; ++i) place.frame[i] = 0;
}

// One word a warp, for blocks longer than kWarpElems.
struct WarpWords {
  std::uint32_t words[kTileWarps];
};

// Replaces each row's `most` by the largest of its block. All threads of the thread block call this together; `shared` is used once.
template <std::uint32_t kRowCount>
__device__ __forceinline__ void maximumOfBlock(std::uint32_t (&most)[kRowCount], std::uint32_t blockElems, WarpWords& shared) {
  constexpr std::uint32_t kAll = 0xffffffffu;
  constexpr std::uint32_t kGroup = kThreadElems / kRowCount;
  constexpr std::uint32_t kRow = kWarpThreads * kGroup;
  const auto larger = [](std::uint32_t a, std::uint32_t b) { return a > b ? a : b; };
#pragma unroll
  for (std::uint32_t span = 1; span < kRowCount; span *= 2) {
    if (blockElems <= kRow * span) break;
#pragma unroll
    for (std::uint32_t row = 0; row < kRowCount; ++row) {
      if ((row & span) == 0) most[row] = most[row + span] = larger(most[row], most[row + span]);
    }
  }
  if (blockElems >= kRow) {
#pragma unroll
    for (std::uint32_t row = 0; row < kRowCount; ++row) most[row] = __reduce_max_sync(kAll, most[row]);
  } else {
#pragma unroll
    for (std::uint32_t distance = 1; distance < kWarpThreads; distance *= 2) {
      if (distance * kGroup >= blockElems) break;
#pragma unroll
      for (std::uint32_t row = 0; row < kRowCount; ++row) most[row] = larger(most[row], __shfl_xor_sync(kAll, most[row], distance));
    }
  }
  if (blockElems <= kWarpElems) return;
  const std::uint32_t warp = threadIdx.x / kWarpThreads;
  if (threadIdx.x % kWarpThreads == 0) shared.words[warp] = most[0];
  __syncthreads();
  const std::uint32_t blockWarps = blockElems / kWarpElems;
  std::uint32_t all = 0;
  for (std::uint32_t i = 0; i < blockWarps; ++i) all = larger(all, shared.words[(warp & ~(blockWarps - 1)) + i]);
#pragma unroll
  for (std::uint32_t row = 0; row < kRowCount; ++row) most[row] = all;
}

}  // namespace qccl::quant::cuda
