// The kernels that write codes: from values, from values and other codes, and with error feedback. One pass: each value and each code that
// goes in is read once, each code written once.
#pragma once

#include <cstdint>

#include "quant/cuda/codecs.cuh"
#include "quant/cuda/conversions.cuh"
#include "quant/cuda/tile.cuh"
#include "quant/kernels.hpp"

namespace qccl::quant::cuda {

enum class Addend { none, codes, residual };  // what is added to the values first

struct EncodeArguments {
  const unsigned char* x;
  const unsigned char* packedIn;  // with Addend::codes; may be packed
  unsigned char* residual;        // with Addend::residual
  unsigned char* packed;
  PackedLayout layout;
  PackedLayout residualLayout;
  std::uint64_t noiseKey;
  std::uint64_t firstElemIndex;
  bool countLosses;
  EncodeCounts* counts;  // or nullptr
};

using ResidualCodec = ScaledCodec<qcclCodecInt8, IntCode<8>>;  // residualFormat

// A group of values, widened when they are looked at. kAnyNan: no bit of a NaN is read.
template <typename T, bool kAnyNan>
struct LoadedValues {
  RawGroup raw;

  __device__ __forceinline__ float operator[](std::uint32_t i) const {
    return kAnyNan ? widenAnyNan<T>(bitsIn<T>(raw, i)) : T::widen(bitsIn<T>(raw, i));
  }

  // The largest magnitudeBits. The bit patterns of magnitudes of 16 bits order as their values do: two at a time, widened at the end.
  __device__ __forceinline__ std::uint32_t maxMagnitude() const {
    std::uint32_t most = 0;
    if constexpr (T::kBytes == 4) {
#pragma unroll
      for (const std::uint32_t word : raw.words) most = max(most, word & 0x7fffffffu);
      return most;
    } else {
#pragma unroll
      for (const std::uint32_t word : raw.words) most = __vmaxu2(most, word & 0x7fff7fffu);
      return bitsOf(T::widen(static_cast<std::uint16_t>(max(most & 0xffffu, most >> 16))));
    }
  }
};

template <std::uint32_t kElems>
struct SummedValues {
  float values[kElems];

  __device__ __forceinline__ float operator[](std::uint32_t i) const { return values[i]; }

  __device__ __forceinline__ std::uint32_t maxMagnitude() const {
    std::uint32_t most = 0;
#pragma unroll
    for (const float value : values) most = max(most, magnitudeBits(value));
    return most;
  }
};

template <typename Values, std::uint32_t kCount>
__device__ __forceinline__ std::uint32_t maxMagnitudeOf(const Values (&x)[kCount]) {
  std::uint32_t most = 0;
#pragma unroll
  for (const Values& group : x) most = max(most, group.maxMagnitude());
  return most;
}

// The sums x + decoded codes of this thread; zeros behind the end, where codes are padding, which nobody looks at. kAnyNan: no bit of a
// NaN among them is read.
template <typename Codec, typename T, bool kAnyNan>
__device__ __forceinline__ void addCodes(const Part<T>& part, const RawGroup (&x)[kRows], unsigned char* packed, const PackedLayout& layout,
                                         SummedValues<kGroupElems<T>> (&sums)[kRows]) {
  CodeGroup<Codec::kId, kGroupElems<T>> codes[kRows] = {};
  const GroupPlace place = part.place(packed, layout);
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
    if (part.count(row) > 0) codes[row].load(place.after(part.inTeam(row)));
  }
  const typename Codec::Decoder decoder(layout.scale, Codec::kHasScale && part.any() ? loadScale(place, layout) : 0);
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
      const auto bits = bitsIn<T>(x[row], i);
      sums[row].values[i] =
          kAnyNan ? decoder.addAnyNan(widenAnyNan<T>(bits), codes[row].code(i)) : decoder.add(T::widen(bits), codes[row].code(i));
    }
    if (part.count(row) == kGroupElems<T>) continue;
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
      if (i >= part.count(row)) sums[row].values[i] = 0.0f;
    }
  }
}

// This thread's codes of a block that is to be all zeros (`zero`: its values are not finite) or has this encoder. The noise of a value is
// that of its number in the message, counted from noiseOffset.
template <bool kStochastic, typename T, typename Values, typename Encoder, typename Group>
__device__ __forceinline__ void makeCodes(const Part<T>& part, const Values (&x)[kRows], bool zero, const Encoder& encoder,
                                          std::uint64_t noiseKey, std::uint64_t noiseOffset, Group (&groups)[kRows]) {
  if (!kStochastic && !zero && encoder.isPlain()) {
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
      std::uint32_t codes[kGroupElems<T>];
#pragma unroll
      for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) codes[i] = encoder.plainBits(x[row][i]);
      groups[row].pack(codes);
    }
  } else {
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
      std::uint32_t codes[kGroupElems<T>] = {};
      if (!zero) {
#pragma unroll
        for (std::uint32_t i = 0; i < kGroupElems<T>; ++i)
          codes[i] = encoder.template code<kStochastic>(x[row][i], noiseKey, noiseOffset + part.first(row) + i);
      }
      groups[row].pack(codes);
    }
  }
}

// Writes this thread's codes, of a block whose magnitudes have the maximum maxBits, and, once a block, its scale.
template <typename Codec, bool kStochastic, typename T, typename Values>
__device__ __forceinline__ void encodePart(const Part<T>& part, const Values (&x)[kRows], std::uint32_t maxBits,
                                           const typename Codec::Encoder& encoder, std::uint32_t stored, unsigned char* packed,
                                           const PackedLayout& layout, std::uint64_t noiseKey, std::uint64_t noiseOffset,
                                           CodeGroup<Codec::kId, kGroupElems<T>> (&groups)[kRows]) {
  const bool zero = Codec::kHasScale && maxBits >= kInfBits;
  makeCodes<kStochastic>(part, x, zero, encoder, noiseKey, noiseOffset, groups);
  const GroupPlace place = part.place(packed, layout);
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) groups[row].store(place.after(part.inTeam(row)), part.tileElems == kTileElems<T>);
  if constexpr (Codec::kHasScale) {
    if (part.beginsBlock(1u << layout.blockShift)) storeScale(place, layout, stored);
    if (part.last && threadIdx.x == 0) clearScalePadding(packed, layout);
  }
}

__device__ __forceinline__ void addCount(std::uint64_t& count, std::uint64_t by) {
  if (by > 0) atomicAdd(reinterpret_cast<unsigned long long*>(&count), static_cast<unsigned long long>(by));
}

// Counts what there is to count of this thread's codes, but the blocks themselves; with countLosses also of the sampled blocks of a message
// whose first value has the number firstElemIndex. All threads of the warp call this together. One addition a warp, and one a block for
// what is true of all of it: additions to one place come one after another.
template <typename Codec, typename T, typename Values>
__device__ __forceinline__ void countPart(EncodeCounts& counts, bool countLosses, std::uint64_t firstElemIndex, const PackedLayout& layout,
                                          const Part<T>& part, const Values (&x)[kRows], std::uint32_t maxBits,
                                          const typename Codec::Encoder& encoder,
                                          const CodeGroup<Codec::kId, kGroupElems<T>> (&codes)[kRows]) {
  const std::uint64_t blockElems = std::uint64_t{1} << layout.blockShift;
  const std::uint64_t block = (part.tileFirst + part.teamFirst) & ~(blockElems - 1);
  const bool finite = maxBits < kInfBits;
  const bool begins = part.beginsBlock(static_cast<std::uint32_t>(blockElems));
  if (begins && !finite) addCount(counts.nonFiniteBlocks, 1);
  const bool sampled = countLosses && finite && isSampledBlock((firstElemIndex + block) >> layout.blockShift);
  if (!__any_sync(0xffffffffu, sampled)) return;
  std::uint32_t saturated = 0, flushed = 0;
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
      const bool counted = sampled && i < part.count(row);
      saturated += counted && encoder.saturates(x[row][i], codes[row].code(i)) ? 1 : 0;
      flushed += counted && isFlushed(x[row][i], Codec::codeValue(codes[row].code(i))) ? 1 : 0;
    }
  }
  if (begins && sampled) addCount(counts.sampledElems, min(blockElems, layout.elems - block));
  saturated = __reduce_add_sync(0xffffffffu, saturated);
  flushed = __reduce_add_sync(0xffffffffu, flushed);
  if (threadIdx.x % kWarpThreads == 0) {
    addCount(counts.saturated, saturated);
    addCount(counts.flushed, flushed);
  }
}

template <typename T, Addend kAddend, bool kAnyNan>
struct HeldValues {
  using Type = SummedValues<kGroupElems<T>>;
};
template <typename T, bool kAnyNan>
struct HeldValues<T, Addend::none, kAnyNan> {
  using Type = LoadedValues<T, kAnyNan>;
};

template <typename Codec, typename T, Addend kAddend, bool kStochastic>
__global__ void __launch_bounds__(kThreads) encodeKernel(const __grid_constant__ EncodeArguments args) {
  constexpr bool kAnyNan = Codec::kHasScale;  // in a block with a NaN all codes are zero
  const PackedLayout& layout = args.layout;
  const std::uint32_t blockElems = 1u << layout.blockShift;
  const Part<T> part(layout.elems, layout.blockShift, blockIdx.x);
  __shared__ WarpWords shared[2];

  // All that is read from memory is asked for before anything is done with it.
  RawGroup raw[kRows];
  part.load(args.x, raw);
  typename HeldValues<T, kAddend, kAnyNan>::Type x[kRows];
  if constexpr (kAddend == Addend::none) {
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) x[row].raw = raw[row];
  } else if constexpr (kAddend == Addend::codes) {
    addCodes<Codec, T, kAnyNan>(part, raw, const_cast<unsigned char*>(args.packedIn), layout, x);
  } else {
    addCodes<ResidualCodec, T, kAnyNan>(part, raw, args.residual, args.residualLayout, x);
  }

  const std::uint32_t most = maximumOfBlock<T>(maxMagnitudeOf(x), blockElems, shared[0]);
  const std::uint32_t stored = Codec::storedScale(layout.scale, most);
  const typename Codec::Encoder encoder(layout.scale, stored);
  CodeGroup<Codec::kId, kGroupElems<T>> codes[kRows];
  encodePart<Codec, kStochastic>(part, x, most, encoder, stored, args.packed, layout, args.noiseKey, args.firstElemIndex, codes);
  if (args.counts != nullptr) {
    if (blockIdx.x == 0 && threadIdx.x == 0) addCount(args.counts->blocks, (layout.elems + blockElems - 1) >> layout.blockShift);
    countPart<Codec>(*args.counts, args.countLosses, args.firstElemIndex, layout, part, x, most, encoder, codes);
  }

  // What the codes leave of the values. The residual of a block that is not finite is zero, or the error would poison its values for ever.
  if constexpr (kAddend == Addend::residual) {
    const typename Codec::Decoder decoder(layout.scale, stored);
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
      for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) x[row].values[i] = decoder.rest(x[row][i], codes[row].code(i));
    }
    std::uint32_t restMost = maximumOfBlock<T>(maxMagnitudeOf(x), blockElems, shared[1]);
    if (restMost >= kInfBits) {
      restMost = 0;
#pragma unroll
      for (std::uint32_t row = 0; row < kRows; ++row) x[row] = {};
    }
    const PackedLayout& restLayout = args.residualLayout;
    const std::uint32_t restStored = ResidualCodec::storedScale(restLayout.scale, restMost);
    const ResidualCodec::Encoder restEncoder(restLayout.scale, restStored);
    CodeGroup<ResidualCodec::kId, kGroupElems<T>> restCodes[kRows];
    encodePart<ResidualCodec, false>(part, x, restMost, restEncoder, restStored, args.residual, restLayout, 0, 0, restCodes);
  }
}

}  // namespace qccl::quant::cuda
