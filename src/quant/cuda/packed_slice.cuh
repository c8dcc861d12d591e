// A slice of a packed buffer: one tile's codes and scales, where they lie in a buffer whose frames begin and end elsewhere. And copying
// them as they are between such a slice and a message, which is a packed buffer of the tile alone.
#pragma once

#include <cstdint>

#include "quant/cuda/tile.cuh"

namespace qccl::quant::cuda {

// For the functions that take a part, a packed buffer and its layout.
template <typename T>
struct PackedSlice {
  Part<T> part;
  PackedLayout layout;  // of the buffer, as far as the slice may write to it
};

// Of the values from firstElem on, at most a tile's. firstElem begins a block, and a slice that is less than a tile ends with a frame or
// with the buffer.
template <typename T>
__device__ __forceinline__ PackedSlice<T> sliceOf(const PackedLayout& buffer, std::uint64_t firstElem, std::uint32_t elems) {
  PackedSlice<T> slice = {Part<T>(elems, buffer.blockShift, 0), buffer};
  const std::uint64_t end = firstElem + elems;
  slice.part.tileFirst = firstElem;
  slice.part.last = end == buffer.elems;
  // Threads behind the end write what belongs to padding. Without this they would write into the frame that follows.
  const std::uint64_t frames = (end + (std::uint64_t{1} << buffer.frameShift) - 1) >> buffer.frameShift;
  if (frames <= buffer.wholeFrames) {
    slice.layout.wholeFrames = frames;
    slice.layout.last = {0, 0, 0};
  }
  return slice;
}

// Both parts are of the same values. By all threads of the thread block.
template <typename Codec, typename T>
__device__ __forceinline__ void copyCodes(const Part<T>& fromPart, const unsigned char* from, const PackedLayout& fromLayout,
                                          const Part<T>& toPart, unsigned char* to, const PackedLayout& toLayout) {
  CodeGroup<Codec::kId, kGroupElems<T>> codes[kRows] = {};
  const GroupPlace source = fromPart.place(const_cast<unsigned char*>(from), fromLayout);
  const GroupPlace target = toPart.place(to, toLayout);
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
    if (fromPart.count(row) > 0) codes[row].load(source.after(fromPart.inTeam(row)));
  }
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) codes[row].store(target.after(toPart.inTeam(row)), toPart.tileElems == kTileElems<T>);
  if constexpr (Codec::kHasScale) {
    if (toPart.beginsBlock(1u << toLayout.blockShift)) storeScale(target, toLayout, loadScale(source, fromLayout));
    if (toPart.last && threadIdx.x == 0) clearScalePadding(to, toLayout);
  }
}

}  // namespace qccl::quant::cuda
