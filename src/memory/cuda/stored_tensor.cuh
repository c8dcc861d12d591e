// Saved tensors as the kernels see them: codes and scales of a packed buffer in two areas (memory/saved_tensor.hpp), and how a thread reads
// and writes its part of them. Threads share the work as in quant/cuda/tile.cuh, in tiles of the flattened tensor or in rows.
#pragma once

#include <cstdint>

#include "memory/cuda/stored_group.cuh"

namespace qccl::memory::cuda {

// Value i of an array that is aligned to its type.
template <typename T>
__device__ __forceinline__ float elementAt(const unsigned char* values, std::uint64_t i) {
  return T::widen(reinterpret_cast<const typename T::Bits*>(values)[i]);
}

struct StoredTensor {
  unsigned char* codes;
  unsigned char* scales;
  PackedLayout layout;  // of the packed buffer that the areas are the sections of

  // Where the codes of the value with this number lie. No section ends behind 0 if the tensor ends before it.
  __device__ __forceinline__ GroupPlace codesOf(std::uint64_t elem) const {
    const std::uint64_t frame = elem >> layout.frameShift;
    FrameSections in = {0, 0, 0};
    if (frame < layout.wholeFrames) in = layout.whole;
    if (frame == layout.wholeFrames) in = layout.last;
    const auto inFrame = static_cast<std::uint32_t>(elem) & ((1u << layout.frameShift) - 1);
    return {codes + frame * (layout.whole.end - layout.whole.low), inFrame, {0, in.high - in.low, in.end - in.low}};
  }

  // The same to load from. Codes in one plane, whose whole frames have no padding, lie as in one frame that begins here.
  template <typename Codec, typename T>
  __device__ __forceinline__ GroupPlace codesToLoad(std::uint64_t elem) const {
    if constexpr (Codec::kId == qcclCodecNone) return {codes + elem * T::kBytes, 0, {}};
    if constexpr (highPlaneBits(Codec::kId) > 0) return codesOf(elem);
    return {codes + elem * codeBits(Codec::kId) / 8, 0, {}};
  }

  // For loadScale and storeScale. The scales of whole frames have no padding.
  __device__ __forceinline__ GroupPlace scaleOf(std::uint64_t elem) const {
    return {scales + (elem >> layout.blockShift) * layout.scaleBytes, 0, {}};
  }

  // Zeroes what the scales of the last frame leave of their section. For one thread of the tensor.
  __device__ __forceinline__ void clearPadding() const { clearScalePadding(scales, scaleSections()); }

 private:
  // The scale area as a packed buffer without codes.
  __device__ __forceinline__ PackedLayout scaleSections() const {
    PackedLayout sections = layout;
    sections.whole.end = layout.whole.low;
    return sections;
  }
};

// A row of a tensor as a tile, for thread blocks that have a thread for each kThreadElems values of it. Rows are whole blocks.
template <typename T>
__device__ __forceinline__ Part<T> rowPart(std::uint32_t cols, std::uint32_t blockShift, std::uint64_t row, bool last) {
  Part<T> part(cols, blockShift, 0);
  part.tileFirst = row * cols;
  part.tileElems = cols;
  part.last = last;
  return part;
}

// This thread's values of an array whose value `first` is the tile's first, zeros behind the end.
template <typename T>
__device__ __forceinline__ void loadPart(const Part<T>& part, const unsigned char* values, std::uint64_t first, RawGroup (&groups)[kRows]) {
  const unsigned char* team = values + (first + part.teamFirst) * T::kBytes;
  const bool whole = part.teamFirst + part.teamThreads * kThreadElems<T> <= part.tileElems;
  if (whole && isGroupAligned(team)) {
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) groups[row] = loadGroup(team + part.inTeam(row) * T::kBytes);
  } else {
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) groups[row] = loadSome<T>(team + part.inTeam(row) * T::kBytes, part.count(row));
  }
}

template <typename T>
__device__ __forceinline__ void storePart(const Part<T>& part, const RawGroup (&groups)[kRows], unsigned char* values) {
  unsigned char* team = values + (part.tileFirst + part.teamFirst) * T::kBytes;
  const bool whole = part.teamFirst + part.teamThreads * kThreadElems<T> <= part.tileElems;
  if (whole && isGroupAligned(team)) {
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) storeGroup(team + part.inTeam(row) * T::kBytes, groups[row]);
  } else {
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) storeSome<T>(team + part.inTeam(row) * T::kBytes, groups[row], part.count(row));
  }
}

// Where storePart would store, a row at a time: as soon as it is worked out, so that it is not held in registers.
template <typename T>
class PartTarget {
 public:
  __device__ __forceinline__ PartTarget(const Part<T>& part, unsigned char* values)
      : team_(values + (part.tileFirst + part.teamFirst) * T::kBytes),
        whole_(part.teamFirst + part.teamThreads * kThreadElems<T> <= part.tileElems && isGroupAligned(team_)) {}

  __device__ __forceinline__ void store(const Part<T>& part, std::uint32_t row, const RawGroup& group) const {
    unsigned char* to = team_ + part.inTeam(row) * T::kBytes;
    if (whole_) {
      storeGroup(to, group);
    } else {
      storeSome<T>(to, group, part.count(row));
    }
  }

 private:
  unsigned char* team_;
  bool whole_;
};

// The codes of this thread's values in a block whose magnitudes have the maximum maxBits, and, once a block, its scale. Threads behind the
// end of a tile write what is padding; `ends`: where the tile is a whole row, they write nothing. All threads of the warp call this
// together.
template <typename Codec, typename T, typename Values>
__device__ __forceinline__ void storeCodes(const Part<T>& part, const Values (&x)[kRows], std::uint32_t maxBits, const StoredTensor& tensor,
                                           bool ends) {
  const PackedLayout& layout = tensor.layout;
  const std::uint32_t stored = Codec::storedScale(layout.scale, maxBits);
  const typename Codec::Encoder encoder(layout.scale, stored);
  const bool zero = Codec::kHasScale && maxBits >= kInfBits;
  StoredGroup<Codec, T> groups[kRows];
  makeCodes<false>(part, x, zero, encoder, 0, 0, groups);
  const std::uint64_t first = part.tileFirst + part.teamFirst;
  GroupPlace place = tensor.codesOf(first);
  if (ends && !part.any()) place.sections = {0, 0, 0};
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) groups[row].store(place.after(part.inTeam(row)), part.count(row));
  if constexpr (Codec::kHasScale) {
    if (part.beginsBlock(1u << layout.blockShift)) storeScale(tensor.scaleOf(first), layout, stored);
    if (part.last && threadIdx.x == 0) tensor.clearPadding();
  }
}

// What this thread reads of a tensor, asked for at once and decoded later.
template <typename Codec, typename T>
struct StoredPart {
  StoredGroup<Codec, T> groups[kRows];
  std::uint32_t stored;

  __device__ __forceinline__ void load(const Part<T>& part, const StoredTensor& tensor) {
    const std::uint64_t first = part.tileFirst + part.teamFirst;
    const GroupPlace place = tensor.codesToLoad<Codec, T>(first);
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) groups[row].load(place.after(part.inTeam(row)), part.count(row));
    stored = Codec::kHasScale && part.any() ? loadScale(tensor.scaleOf(first), tensor.layout) : 0;
  }

  __device__ __forceinline__ typename Codec::Decoder decoder(const StoredTensor& tensor) const {
    return typename Codec::Decoder(tensor.layout.scale, stored);
  }
  __device__ __forceinline__ GroupNumbers<Codec, T> numbers(const StoredTensor& tensor) const {
    return GroupNumbers<Codec, T>(decoder(tensor));
  }
};

}  // namespace qccl::memory::cuda
