// RMSNorm that saves its normalised input: in one pass over rows that are whole blocks and that a thread block can hold, else in two.
//
// Bytes moved, of n values in blocks of B: n times two values (x, the output) and the code, n / B scales, 4 a row; weights are in the
// cache. Of bfloat16 into int4 with B = 128 and BF16 scales that is 4.52 n. Bounded by the memory: a value takes about 15 instructions.
#pragma once

#include "memory/cuda/row_sum.cuh"
#include "memory/cuda/tensor_codec.cuh"

namespace qccl::memory::cuda {

struct NormForwardArguments {
  const unsigned char* x;
  const unsigned char* weight;
  unsigned char* output;
  float* rstd;
  float epsilon;
  std::uint32_t rows;
  std::uint32_t cols;
  StoredTensor xhat;
};

template <typename T>
__device__ __forceinline__ void widenGroup(const RawGroup& raw, float (&values)[kGroupElems<T>]) {
#pragma unroll
  for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) values[i] = widenAnyNan<T>(bitsIn<T>(raw, i));
}

// A row for each thread block.
template <typename Codec, typename T>
__global__ void __launch_bounds__(kRowThreads, 2) normForwardKernel(const __grid_constant__ NormForwardArguments args) {
  __shared__ RowWords shared;
  const PackedLayout& layout = args.xhat.layout;
  const Part<T> part = rowPart<T>(args.cols, layout.blockShift, blockIdx.x, blockIdx.x + 1 == args.rows);
  RawGroup raw[kRows], weight[kRows];
  loadPart(part, args.x, part.tileFirst, raw);
  loadPart(part, args.weight, 0, weight);

  SummedValues<kGroupElems<T>> xhat[kRows];
  float sums[kRows];
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
    widenGroup<T>(raw[row], xhat[row].values);
    sums[row] = groupSum<T>(xhat[row].values, xhat[row].values);
  }
  const float rstd = rstdOf(sumOfRow(sums, part, shared, [] { __syncthreads(); }), static_cast<float>(args.cols), args.epsilon);
  if (threadIdx.x == 0) args.rstd[blockIdx.x] = rstd;

  RawGroup output[kRows];
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
    float values[kGroupElems<T>];
    widenGroup<T>(weight[row], values);
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
      xhat[row].values[i] *= rstd;
      values[i] = xhat[row][i] * values[i];
    }
    output[row] = narrowAnyNan<T>(values);
  }
  storePart(part, output, args.output);
  std::uint32_t most = 0;
  if constexpr (Codec::kHasScale) {
    __shared__ WarpWords unused;  // a block is no longer than what a warp has
    most = maximumOfBlock<T>(maxMagnitudeOf(xhat), 1u << layout.blockShift, unused);
  }
  storeCodes<Codec>(part, xhat, most, args.xhat, true);
}

// A row of any length for each thread block: rstd.
template <typename T>
__global__ void __launch_bounds__(kThreads) normStatisticsKernel(const __grid_constant__ NormForwardArguments args) {
  const unsigned char* x = args.x + std::uint64_t{blockIdx.x} * args.cols * T::kBytes;
  const float sum = sumOfAnyRow(args.cols, [&](std::uint32_t col) {
    const float value = elementAt<T>(x, col);
    return Factors{value, value};
  });
  if (threadIdx.x == 0) args.rstd[blockIdx.x] = rstdOf(sum, static_cast<float>(args.cols), args.epsilon);
}

// A tile of the flattened tensor for each thread block, given rstd.
template <typename Codec, typename T>
__global__ void __launch_bounds__(kThreads) normScaleKernel(const __grid_constant__ NormForwardArguments args) {
  __shared__ WarpWords shared;
  const Part<T> part = tilePart<T>(args.xhat);
  RawGroup raw[kRows];
  loadPart(part, args.x, part.tileFirst, raw);
  SummedValues<kGroupElems<T>> xhat[kRows] = {};
  RawGroup output[kRows] = {};
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
    const std::uint64_t first = part.first(row);
    std::uint64_t line = first / args.cols;
    auto col = static_cast<std::uint32_t>(first - line * args.cols);
    float values[kGroupElems<T>] = {};
#pragma unroll
    for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
      if (i < part.count(row)) {
        xhat[row].values[i] = widenAnyNan<T>(bitsIn<T>(raw[row], i)) * args.rstd[line];
        values[i] = xhat[row][i] * elementAt<T>(args.weight, col);
      }
      if (++col == args.cols) {
        col = 0;
        ++line;
      }
    }
    output[row] = narrowAnyNan<T>(values);
  }
  storePart(part, output, args.output);
  std::uint32_t most = 0;
  if constexpr (Codec::kHasScale) most = maximumOfBlock<T>(maxMagnitudeOf(xhat), 1u << args.xhat.layout.blockShift, shared);
  storeCodes<Codec>(part, xhat, most, args.xhat, false);
}

}  // namespace qccl::memory::cuda
