// The kernels that write codes: from values, from values and other codes, and with error feedback. One pass: each value and each code that
// goes in is read once, each code written once.
#pragma once

#include <cstdint>

#include "quant/cuda/codecs.cuh"
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

// A group of values, widened when they are looked at.
template <typename T>
struct LoadedValues {
  RawGroup raw;

  __device__ __forceinline__ float operator[](std::uint32_t i) const { return T::widen(bitsIn<T>(raw, i)); }

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

__device__ __forceinline__ void addCount(std::uint64_t& count, std::uint64_t by) {
  if (by > 0) atomicAdd(reinterpret_cast<unsigned long long*>(&count), static_cast<unsigned long long>(by));
}

// Counts what there is to count of a group of `n` values, the first of which is value `first` of the message. All threads of the warp call
// this together. One addition a warp, and one a block for what is true of all of it: additions to one place come one after another.
template <typename Codec, typename Values, std::uint32_t kElems>
__device__ __forceinline__ void countGroup(const EncodeArguments& args, std::uint64_t first, std::uint32_t n, std::uint32_t maxBits,
                                           const Values& x, const typename Codec::Encoder& encoder,
                                           const CodeGroup<Codec::kId, kElems>& codes) {
  const std::uint64_t blockElems = std::uint64_t{1} << args.layout.blockShift;
  const std::uint64_t block = first & ~(blockElems - 1);
  const bool finite = maxBits < kInfBits;
  const bool begins = n > 0 && block == first;
  EncodeCounts& counts = *args.counts;
  if (first == 0) addCount(counts.blocks, (args.layout.elems + blockElems - 1) >> args.layout.blockShift);
  if (begins && !finite) addCount(counts.nonFiniteBlocks, 1);
  if (!args.countLosses) return;
  const bool sampled = finite && isSampledBlock((args.firstElemIndex + block) >> args.layout.blockShift);
  std::uint32_t saturated = 0, flushed = 0;
#pragma unroll
  for (std::uint32_t i = 0; i < kElems; ++i) {
    if (!sampled || i >= n) break;
    saturated += encoder.saturates(x[i], codes.code(i)) ? 1 : 0;
    flushed += isFlushed(x[i], Codec::codeValue(codes.code(i))) ? 1 : 0;
  }
  if (begins && sampled) addCount(counts.sampledElems, min(blockElems, args.layout.elems - block));
  saturated = __reduce_add_sync(0xffffffffu, saturated);
  flushed = __reduce_add_sync(0xffffffffu, flushed);
  if (threadIdx.x % kWarpThreads == 0) {
    addCount(counts.saturated, saturated);
    addCount(counts.flushed, flushed);
  }
}

// Writes the codes of one group of a block whose magnitudes have the maximum maxBits, and, once a block, its scale.
template <typename Codec, bool kStochastic, typename Values, std::uint32_t kElems>
__device__ __forceinline__ CodeGroup<Codec::kId, kElems> encodeGroup(const Values& x, std::uint32_t n, bool last, std::uint32_t maxBits,
                                                                     typename Codec::Encoder encoder, std::uint32_t stored,
                                                                     const GroupPlace& place, const PackedLayout& layout,
                                                                     std::uint64_t noiseKey, std::uint64_t noiseIndex) {
  std::uint32_t codes[kElems];
#pragma unroll
  for (std::uint32_t i = 0; i < kElems; ++i) codes[i] = encoder.template code<kStochastic>(x[i], noiseKey, noiseIndex + i);
  if (Codec::kHasScale && maxBits >= kInfBits) {
#pragma unroll
    for (std::uint32_t i = 0; i < kElems; ++i) codes[i] = 0;
  }
  CodeGroup<Codec::kId, kElems> group;
  group.pack(codes);
  group.store(place);
  if constexpr (Codec::kHasScale) {
    if (n > 0 && (place.inFrame & ((1u << layout.blockShift) - 1)) == 0) storeScale(place, layout, stored);
    if (last) clearScalePadding(place, layout);
  }
  return group;
}

// One group of the sums x + decoded codes; zeros behind the end, where codes are padding, which nobody looks at.
template <typename Codec, typename T>
__device__ __forceinline__ SummedValues<kGroupElems<T>> addCodes(const RawGroup& x, std::uint32_t n, const GroupPlace& place,
                                                                 const PackedLayout& layout) {
  SummedValues<kGroupElems<T>> sums = {};
  if (n == 0) return sums;
  CodeGroup<Codec::kId, kGroupElems<T>> codes;
  codes.load(place);
  const typename Codec::Decoder decoder(layout.scale, Codec::kHasScale ? loadScale(place, layout) : 0);
#pragma unroll
  for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
    const float sum = decoder.add(T::widen(bitsIn<T>(x, i)), codes.code(i));
    sums.values[i] = i < n ? sum : 0.0f;
  }
  return sums;
}

template <typename T, Addend kAddend>
struct HeldValues {
  using Type = SummedValues<kGroupElems<T>>;
};
template <typename T>
struct HeldValues<T, Addend::none> {
  using Type = LoadedValues<T>;
};

template <typename Codec, typename T, Addend kAddend, bool kStochastic>
__global__ void __launch_bounds__(kThreads) encodeKernel(const __grid_constant__ EncodeArguments args) {
  constexpr std::uint32_t kElems = kGroupElems<T>;
  constexpr std::uint32_t kRowCount = kRows<T>;
  const PackedLayout& layout = args.layout;
  const std::uint32_t blockElems = 1u << layout.blockShift;
  const Tile<T> tile(layout.elems);
  const bool aligned = isGroupAligned(args.x);
  __shared__ WarpWords shared[2];

  // All that is read from memory is asked for before anything is done with it.
  typename HeldValues<T, kAddend>::Type x[kRowCount];
  if constexpr (kAddend == Addend::none) {
#pragma unroll
    for (std::uint32_t row = 0; row < kRowCount; ++row) x[row] = {loadValues<T>(tile.values(args.x, row), tile.count(row), aligned)};
  } else {
    RawGroup raw[kRowCount];
#pragma unroll
    for (std::uint32_t row = 0; row < kRowCount; ++row) raw[row] = loadValues<T>(tile.values(args.x, row), tile.count(row), aligned);
#pragma unroll
    for (std::uint32_t row = 0; row < kRowCount; ++row) {
      if constexpr (kAddend == Addend::codes) {
        const GroupPlace place = tile.place(const_cast<unsigned char*>(args.packedIn), layout, row);
        x[row] = addCodes<Codec, T>(raw[row], tile.count(row), place, layout);
      } else {
        const GroupPlace place = tile.place(args.residual, args.residualLayout, row);
        x[row] = addCodes<ResidualCodec, T>(raw[row], tile.count(row), place, args.residualLayout);
      }
    }
  }

  std::uint32_t most[kRowCount];
#pragma unroll
  for (std::uint32_t row = 0; row < kRowCount; ++row) most[row] = x[row].maxMagnitude();
  maximumOfBlock(most, blockElems, shared[0]);

  std::uint32_t restMost[kRowCount];
#pragma unroll
  for (std::uint32_t row = 0; row < kRowCount; ++row) {
    const GroupPlace place = tile.place(args.packed, layout, row);
    const std::uint32_t n = tile.count(row);
    const std::uint64_t first = tile.first + tile.at(row);
    const bool last = n > 0 && first + n == layout.elems;
    const std::uint32_t stored = Codec::storedScale(layout.scale, most[row]);
    const typename Codec::Encoder encoder(layout.scale, stored);
    const auto codes = encodeGroup<Codec, kStochastic, decltype(x[row]), kElems>(x[row], n, last, most[row], encoder, stored, place, layout,
                                                                                 args.noiseKey, args.firstElemIndex + first);
    if (args.counts != nullptr) countGroup<Codec>(args, first, n, most[row], x[row], encoder, codes);
    if constexpr (kAddend == Addend::residual) {
      const typename Codec::Decoder decoder(layout.scale, stored);
#pragma unroll
      for (std::uint32_t i = 0; i < kElems; ++i) x[row].values[i] = decoder.rest(x[row][i], codes.code(i));
      restMost[row] = x[row].maxMagnitude();
    }
  }

  // The residual of a block that is not finite is zero, or the error would poison its values for ever.
  if constexpr (kAddend == Addend::residual) {
    const PackedLayout& restLayout = args.residualLayout;
    maximumOfBlock(restMost, blockElems, shared[1]);
#pragma unroll
    for (std::uint32_t row = 0; row < kRowCount; ++row) {
      if (restMost[row] >= kInfBits) x[row] = {}, restMost[row] = 0;
      const GroupPlace place = tile.place(args.residual, restLayout, row);
      const std::uint32_t n = tile.count(row);
      const bool last = n > 0 && tile.first + tile.at(row) + n == restLayout.elems;
      const std::uint32_t stored = ResidualCodec::storedScale(restLayout.scale, restMost[row]);
      const ResidualCodec::Encoder encoder(restLayout.scale, stored);
      encodeGroup<ResidualCodec, false, decltype(x[row]), kElems>(x[row], n, last, restMost[row], encoder, stored, place, restLayout, 0, 0);
    }
  }
}

}  // namespace qccl::quant::cuda
