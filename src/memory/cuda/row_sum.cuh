// Sums over rows by the tree of fused_formulas.hpp, whatever threads hold the row.
#pragma once

#include <cstdint>

#include "memory/cuda/kernels.hpp"
#include "memory/cuda/stored_tensor.cuh"
#include "memory/fused_formulas.hpp"

namespace qccl::memory::cuda {

inline constexpr std::uint32_t kAllLanes = 0xffffffffu;

inline constexpr auto kRowThreads = static_cast<std::uint32_t>(kMaxRowThreads);
static_assert(kRowThreadBytes == kThreadElems<F32> * F32::kBytes && kRowThreadBytes == kThreadElems<F16> * F16::kBytes);
inline constexpr std::uint32_t kRowWarps = kRowThreads / kWarpThreads;

// The tree over the leaves of a group.
template <typename T>
__device__ __forceinline__ float groupSum(const float (&a)[kGroupElems<T>], const float (&b)[kGroupElems<T>]) {
  constexpr std::uint32_t kLeaf = static_cast<std::uint32_t>(kLeafElems);
  static_assert(kGroupElems<T> == kLeaf || kGroupElems<T> == 2 * kLeaf);
  float leaves[kGroupElems<T> / kLeaf] = {};
#pragma unroll
  for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) leaves[i / kLeaf] = fmaf(a[i], b[i], leaves[i / kLeaf]);
  if constexpr (kGroupElems<T> == kLeaf) return leaves[0];
  return leaves[0] + leaves[kGroupElems<T> / kLeaf - 1];
}

struct RowWords {
  float words[kRowWarps];
};

// The sum of a row that is a tile (rowPart), of the sums of this thread's groups, for all threads. A sum is that of a tree whose every
// level adds the sums of neighbours: first of the threads of a team, which have neighbouring groups in each of the team's rows, then of
// those rows, then of teams, of warps. All threads that have the row (the thread block's with one threadIdx.y) call this together, sync()
// is their barrier; `shared` is theirs, used once.
template <typename T, typename Sync>
__device__ __forceinline__ float sumOfRow(float (&groups)[kRows], const Part<T>& part, RowWords& shared, Sync sync) {
  static_assert(kRows == 4);
#pragma unroll
  for (std::uint32_t distance = 1; distance < kWarpThreads; distance *= 2) {
    if (distance >= part.teamThreads) break;
#pragma unroll
    for (float& sum : groups) sum += __shfl_xor_sync(kAllLanes, sum, distance);
  }
  float sum = (groups[0] + groups[1]) + (groups[2] + groups[3]);
#pragma unroll
  for (std::uint32_t distance = 1; distance < kWarpThreads; distance *= 2)
    if (distance >= part.teamThreads) sum += __shfl_xor_sync(kAllLanes, sum, distance);
  const std::uint32_t lane = threadIdx.x % kWarpThreads;
  const std::uint32_t warps = blockDim.x / kWarpThreads;
  if (lane == 0) shared.words[threadIdx.x / kWarpThreads] = sum;
  sync();
  sum = lane % kRowWarps < warps ? shared.words[lane % kRowWarps] : 0.0f;
#pragma unroll
  for (std::uint32_t distance = 1; distance < kRowWarps; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
  return sum;
}

// The sum of a row of any length by a thread block of kThreads, for its first thread; term(column) is what fmaf multiplies. A leaf a
// thread, whose neighbours are the next threads', and then what warps have of all their leaves, in shared memory.
struct Factors {
  float a, b;
};

inline constexpr std::uint32_t kMaxSums = static_cast<std::uint32_t>(kMaxCols / kLeafElems) / kWarpThreads;

template <typename Term>
__device__ __forceinline__ float sumOfAnyRow(std::uint32_t cols, Term term) {
  __shared__ float sums[kMaxSums];
  constexpr std::uint32_t kLeaf = static_cast<std::uint32_t>(kLeafElems);
  const std::uint32_t leaves = (cols + kLeaf - 1) / kLeaf;
  for (std::uint32_t first = threadIdx.x / kWarpThreads * kWarpThreads; first < leaves; first += blockDim.x) {
    const std::uint32_t begin = (first + threadIdx.x % kWarpThreads) * kLeaf;
    float sum = 0.0f;
    for (std::uint32_t col = begin; col < min(begin + kLeaf, cols); ++col) {
      const Factors factors = term(col);
      sum = fmaf(factors.a, factors.b, sum);
    }
#pragma unroll
    for (std::uint32_t distance = 1; distance < kWarpThreads; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
    if (threadIdx.x % kWarpThreads == 0) sums[first / kWarpThreads] = sum;
  }
  for (std::uint32_t count = (leaves + kWarpThreads - 1) / kWarpThreads; count > 1; count = (count + 1) / 2) {
    __syncthreads();
    constexpr std::uint32_t kSteps = kMaxSums / 2 / kThreads;  // pairs are read by all before any is written
    float pairs[kSteps];
#pragma unroll
    for (std::uint32_t step = 0; step < kSteps; ++step) {
      const std::uint32_t i = 2 * (step * kThreads + threadIdx.x);
      pairs[step] = i < count ? sums[i] + (i + 1 < count ? sums[i + 1] : 0.0f) : 0.0f;
    }
    __syncthreads();
#pragma unroll
    for (std::uint32_t step = 0; step < kSteps; ++step) {
      const std::uint32_t i = step * kThreads + threadIdx.x;
      if (2 * i < count) sums[i] = pairs[step];
    }
  }
  return sums[0];  // which thread 0 wrote
}

}  // namespace qccl::memory::cuda
