// The kernels that read codes: into values, and into FP32 sums.
#pragma once

#include <cstdint>

#include "quant/cuda/codecs.cuh"
#include "quant/cuda/tile.cuh"

namespace qccl::quant::cuda {

struct DecodeArguments {
  const unsigned char* packed;
  unsigned char* out;
  PackedLayout layout;
};

// kAdd: to the FP32 sums in `out` instead of over it.
template <typename Codec, typename T, bool kAdd>
__global__ void __launch_bounds__(kThreads) decodeKernel(const __grid_constant__ DecodeArguments args) {
  constexpr std::uint32_t kElems = kGroupElems<T>;
  constexpr std::uint32_t kRowCount = kRows<T>;
  const PackedLayout& layout = args.layout;
  const Tile<T> tile(layout.elems);
  const bool aligned = isGroupAligned(args.out);

  // All that is read from memory is asked for before anything is done with it.
  CodeGroup<Codec::kId, kElems> codes[kRowCount];
  std::uint32_t stored[kRowCount];
  RawGroup sums[kRowCount];
#pragma unroll
  for (std::uint32_t row = 0; row < kRowCount; ++row) {
    if (tile.count(row) == 0) continue;
    const GroupPlace place = tile.place(const_cast<unsigned char*>(args.packed), layout, row);
    codes[row].load(place);
    stored[row] = Codec::kHasScale ? loadScale(place, layout) : 0;
    if constexpr (kAdd) sums[row] = loadValues<T>(tile.values(args.out, row), tile.count(row), aligned);
  }
#pragma unroll
  for (std::uint32_t row = 0; row < kRowCount; ++row) {
    if (tile.count(row) == 0) continue;
    const typename Codec::Decoder decoder(layout.scale, stored[row]);
    RawGroup values;
    if constexpr (kAdd) {
#pragma unroll
      for (std::uint32_t i = 0; i < kElems; ++i)
        setBitsIn<T>(values, i, T::narrow(decoder.add(T::widen(bitsIn<T>(sums[row], i)), codes[row].code(i))));
    } else if (decoder.finite()) {
#pragma unroll
      for (std::uint32_t i = 0; i < kElems; ++i) setBitsIn<T>(values, i, T::narrow(decoder.decodeFinite(codes[row].code(i))));
    } else {
#pragma unroll
      for (std::uint32_t i = 0; i < kElems; ++i) setBitsIn<T>(values, i, T::narrow(decoder.decode(codes[row].code(i))));
    }
    storeValues<T>(tile.values(args.out, row), values, tile.count(row), aligned);
  }
}

}  // namespace qccl::quant::cuda
