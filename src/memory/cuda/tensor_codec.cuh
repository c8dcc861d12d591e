// Values into a saved tensor's two areas and back: each value and each code once. Bytes moved, of n values in blocks of B: n times the
// value's and the code's, and a scale for B of them; bounded by the memory.
#pragma once

#include "memory/cuda/stored_tensor.cuh"

namespace qccl::memory::cuda {

struct CodecArguments {
  unsigned char* values;
  StoredTensor tensor;
};

// This thread block's tile of a tensor.
template <typename T>
__device__ __forceinline__ Part<T> tilePart(const StoredTensor& tensor) {
  return Part<T>(tensor.layout.elems, tensor.layout.blockShift, blockIdx.x);
}

// Values as they were read, as those of a codec without a scale need: with the bits of their NaNs.
template <typename Codec, typename T>
using ReadValues = LoadedValues<T, Codec::kHasScale>;

// The codes of a tile of values. All threads of the thread block call this together; `shared` is used once.
template <typename Codec, typename T>
__device__ __forceinline__ void storeTile(const Part<T>& part, const RawGroup (&raw)[kRows], const StoredTensor& tensor,
                                          WarpWords& shared) {
  ReadValues<Codec, T> x[kRows];
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) x[row].raw = raw[row];
  std::uint32_t most = 0;
  if constexpr (Codec::kHasScale) most = maximumOfBlock<T>(maxMagnitudeOf(x), 1u << tensor.layout.blockShift, shared);
  storeCodes<Codec>(part, x, most, tensor, false);
}

template <typename Codec, typename T>
__global__ void __launch_bounds__(kThreads) storeKernel(const __grid_constant__ CodecArguments args) {
  __shared__ WarpWords shared;
  const Part<T> part = tilePart<T>(args.tensor);
  RawGroup raw[kRows];
  loadPart(part, args.values, part.tileFirst, raw);
  storeTile<Codec>(part, raw, args.tensor, shared);
}

template <typename Codec, typename T>
__global__ void __launch_bounds__(kThreads) loadKernel(const __grid_constant__ CodecArguments args) {
  const Part<T> part = tilePart<T>(args.tensor);
  if (!part.any()) return;
  StoredPart<Codec, T> codes;
  codes.load(part, args.tensor);
  const auto decoder = codes.decoder(args.tensor);
  RawGroup values[kRows];
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) values[row] = decodeGroup<Codec, T>(decoder, codes.groups[row].codes);
  storePart(part, values, args.values);
}

}  // namespace qccl::memory::cuda
