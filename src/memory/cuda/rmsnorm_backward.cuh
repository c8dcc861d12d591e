// The gradients of RMSNorm from its saved normalised input: one pass over the rows, and one over the sums of strips of rows for the
// weight's gradient. (any_codec.cuh has it for rows that are not whole blocks or are too long for a thread block.)
//
// Bytes moved, of n values in blocks of B: n times two values (dOutput, dX), a third if the output is wanted again, and the code, n / B
// scales; kStrips sums a column are written and read again. Of bfloat16 from int4 with B = 128 and BF16 scales 4.52 n or 6.52 n, and
// 2 MiB * cols / 512 twice. Bounded by the memory.
#pragma once

#include "memory/cuda/rmsnorm_forward.cuh"

namespace qccl::memory::cuda {

struct NormBackwardArguments {
  const unsigned char* dOutput;
  const unsigned char* weight;
  const float* rstd;
  unsigned char* dX;
  unsigned char* output;  // or nullptr
  float* dWeight;
  float* strips;  // kStrips rows of cols sums
  float* means;   // one a row; of any_codec.cuh
  std::uint32_t rows;
  std::uint32_t cols;
  StoredTensor xhat;
};

// A strip of rows for each thread block, the next row on its way while one is worked on.
template <typename Codec, typename T>
__global__ void __launch_bounds__(kRowThreads) normBackwardKernel(const __grid_constant__ NormBackwardArguments args) {
  __shared__ RowWords shared[2];  // in turns: one barrier a row
  constexpr std::uint32_t kGroup = kGroupElems<T>;
  const std::uint32_t blockShift = args.xhat.layout.blockShift;
  const Part<T> columns = rowPart<T>(args.cols, blockShift, 0, false);
  __shared__ RawGroup weights[kRows][kRowThreads];  // not in registers, which the sums and the next row need
  {
    RawGroup weight[kRows];
    loadPart(columns, args.weight, 0, weight);
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) weights[row][threadIdx.x] = weight[row];  // read by the same thread
  }
  float dWeight[kRows][kGroup] = {};

  RawGroup nextGradient[kRows] = {};
  StoredPart<Codec, T> nextCodes = {};
  float nextRstd = 0.0f;
  const auto ask = [&](std::uint32_t row) {
    if (row >= args.rows) return;
    const Part<T> part = rowPart<T>(args.cols, blockShift, row, false);
    loadPart(part, args.dOutput, part.tileFirst, nextGradient);
    nextCodes.load(part, args.xhat);
    nextRstd = args.rstd[row];
  };
  ask(blockIdx.x);
  std::uint32_t turn = 0;
  for (std::uint32_t line = blockIdx.x; line < args.rows; line += kStrips, turn ^= 1) {
    RawGroup gradient[kRows];
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) gradient[row] = nextGradient[row];
    StoredPart<Codec, T> codes = nextCodes;
    const float rstd = nextRstd;
    ask(line + static_cast<std::uint32_t>(kStrips));

    const auto decoder = codes.decoder(args.xhat);
    float sums[kRows];
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
      const RawGroup weight = weights[row][threadIdx.x];
      float g[kGroup], xhat[kGroup];
#pragma unroll
      for (std::uint32_t i = 0; i < kGroup; ++i) {
        g[i] = widenAnyNan<T>(bitsIn<T>(gradient[row], i)) * widenAnyNan<T>(bitsIn<T>(weight, i));
        xhat[i] = columns.any() ? decoder.decodeNumber(codes.groups[row].code(i)) : 0.0f;
      }
      sums[row] = groupSum<T>(g, xhat);
    }
    const float mean = sumOfRow(sums, columns, shared[turn]) / static_cast<float>(args.cols);
    forget(gradient);
    forget(codes.groups);

    RawGroup dX[kRows], output[kRows];
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
      const RawGroup weight = weights[row][threadIdx.x];
      float dValues[kGroup], values[kGroup];
#pragma unroll
      for (std::uint32_t i = 0; i < kGroup; ++i) {
        const float d = widenAnyNan<T>(bitsIn<T>(gradient[row], i)), w = widenAnyNan<T>(bitsIn<T>(weight, i));
        const float xhat = decoder.decodeNumber(codes.groups[row].code(i));
        dValues[i] = normGradient(d * w, xhat, mean, rstd);
        values[i] = xhat * w;
        dWeight[row][i] = fmaf(d, xhat, dWeight[row][i]);
      }
      dX[row] = narrowAnyNan<T>(dValues);
      output[row] = narrowAnyNan<T>(values);
    }
    const Part<T> part = rowPart<T>(args.cols, blockShift, line, false);
    storePart(part, dX, args.dX);
    if (args.output != nullptr) storePart(part, output, args.output);
  }

  if (!columns.any()) return;
  float* strip = args.strips + std::uint64_t{blockIdx.x} * args.cols + columns.teamFirst;
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
    for (std::uint32_t i = 0; i < kGroup; i += 4) {
      const float* sums = dWeight[row] + i;
      *reinterpret_cast<float4*>(strip + columns.inTeam(row) + i) = make_float4(sums[0], sums[1], sums[2], sums[3]);
    }
  }
}

}  // namespace qccl::memory::cuda
