// The kernels that read codes: into values, and into FP32 sums.
#pragma once

#include <cstdint>

#include "quant/cuda/codecs.cuh"
#include "quant/cuda/conversions.cuh"
#include "quant/cuda/tile.cuh"

namespace qccl::quant::cuda {

struct DecodeArguments {
  const unsigned char* packed;
  unsigned char* out;
  PackedLayout layout;
};

template <typename Codec, typename T>
__device__ __forceinline__ RawGroup decodeGroup(const typename Codec::Decoder& decoder,
                                                const CodeGroup<Codec::kId, kGroupElems<T>>& codes) {
  if (decoder.neverNan()) {
    float values[kGroupElems<T>];
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) values[i] = decoder.decodeNumber(codes.code(i));
    return narrowAnyNan<T>(values);
  }
  RawGroup group;
#pragma unroll
  for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) setBitsIn<T>(group, i, T::narrow(decoder.decode(codes.code(i))));
  return group;
}

template <typename Codec>
__device__ __forceinline__ RawGroup addGroup(const typename Codec::Decoder& decoder, const CodeGroup<Codec::kId, kGroupElems<F32>>& codes,
                                             const RawGroup& sums) {
  RawGroup group;
#pragma unroll
  for (std::uint32_t i = 0; i < kGroupElems<F32>; ++i) group.words[i] = bitsOf(decoder.add(floatFromBits(sums.words[i]), codes.code(i)));
  return group;
}

// kAdd: to the FP32 sums in `out` instead of over it.
template <typename Codec, typename T, bool kAdd>
__global__ void __launch_bounds__(kThreads) decodeKernel(const __grid_constant__ DecodeArguments args) {
  const PackedLayout& layout = args.layout;
  const Part<T> part(layout.elems, layout.blockShift, blockIdx.x);
  if (!part.any()) return;

  // All that is read from memory is asked for before anything is done with it.
  CodeGroup<Codec::kId, kGroupElems<T>> codes[kRows];
  RawGroup values[kRows];
  const GroupPlace place = part.place(const_cast<unsigned char*>(args.packed), layout);
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
    if (part.count(row) > 0) codes[row].load(place.after(part.inTeam(row)));
  }
  const std::uint32_t stored = Codec::kHasScale ? loadScale(place, layout) : 0;
  if constexpr (kAdd) part.load(args.out, values);

  const typename Codec::Decoder decoder(layout.scale, stored);
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
    if constexpr (kAdd) {
      values[row] = addGroup<Codec>(decoder, codes[row], values[row]);
    } else {
      values[row] = decodeGroup<Codec, T>(decoder, codes[row]);
    }
  }
  part.store(values, args.out);
}

}  // namespace qccl::quant::cuda
