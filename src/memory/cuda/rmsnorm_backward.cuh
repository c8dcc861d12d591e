// The gradients of RMSNorm from its saved normalised input: one pass over the rows, and one over the sums of strips of rows for the
// weight's gradient. (any_codec.cuh has it for rows that are not whole blocks or are too long for a thread block.)
//
// Bytes moved, of n values in blocks of B: n times two values (dOutput, dX), a third if the output is wanted again, and the code, n / B
// scales; 128 to 512 rows of sums of strips are written and read again. Of bfloat16 from int4 with B = 128 and BF16 scales
// 4.52 n or 6.52 n, and 4 * 128 * cols twice if rows are as short as 4096. Bounded by the memory; a value takes 25 instructions, and they
// take two thirds of that time.
#pragma once

#include <bit>

#include "memory/cuda/rmsnorm_forward.cuh"

namespace qccl::memory::cuda {

struct NormBackwardArguments {
  const unsigned char* dOutput;
  const unsigned char* weight;
  const float* rstd;
  unsigned char* dX;
  unsigned char* output;  // or nullptr
  float* strips;          // rows of cols sums: of a strip each, or of the strips of a thread block
  float* means;           // one a row; of any_codec.cuh
  std::uint32_t rows;
  std::uint32_t cols;
  StoredTensor xhat;
};

// The most rows that a thread block works on at a time, one for each threadIdx.y: rows of neighbouring strips, whose sums of products are
// added before they are written.
inline constexpr std::uint32_t kMaxStripsOfBlock = 4;

template <typename T>
using ThreadSums = float[kRows][kGroupElems<T>];

// Adds up the sums of a thread block's strips, neighbours in pairs: those of all are then with the first. `words` has room for what half
// of the threads have. All threads of the thread block call this together.
template <typename T>
__device__ __forceinline__ void addStripsOfBlock(ThreadSums<T>& sums, float4* words) {
  constexpr std::uint32_t kFours = kGroupElems<T> / 4;
  const std::uint32_t half = blockDim.x * blockDim.y / 2;
  for (std::uint32_t pair = 2; pair <= blockDim.y; pair *= 2) {
    const std::uint32_t inPair = threadIdx.y % pair;
    float4* given = words + threadIdx.y / pair * blockDim.x + threadIdx.x;
    __syncthreads();  // what was there has been read
#pragma unroll
    for (std::uint32_t i = 0; i < kRows * kFours; ++i) {
      const float* four = &sums[i / kFours][i % kFours * 4];
      if (inPair == pair / 2) given[i * half] = make_float4(four[0], four[1], four[2], four[3]);
    }
    __syncthreads();
    if (inPair > 0) continue;
#pragma unroll
    for (std::uint32_t i = 0; i < kRows * kFours; ++i) {
      const float4 more = given[i * half];
      float* four = &sums[i / kFours][i % kFours * 4];
      four[0] += more.x, four[1] += more.y, four[2] += more.z, four[3] += more.w;
    }
  }
}

// How a row is shared here: teams of so many threads that what they load and store at a time fills a line of the L2 cache, which half a
// line would keep as busy. A team has kTeamBlocks of the shortest blocks, and a thread kBlockRows groups of each; the row may end between
// them.
static_assert(kRowAlignment == kGroupBytes);
inline constexpr std::uint32_t kLineThreads = 128 / kGroupBytes;
inline constexpr auto kShortestBlock = static_cast<std::uint32_t>(kMinRowBlockElems);

template <typename T>
inline constexpr std::uint32_t kTeamBlocks = kLineThreads* kThreadElems<T> / kShortestBlock;
template <typename T>
inline constexpr std::uint32_t kBlockRows = kRows / kTeamBlocks<T>;
template <typename T>
inline constexpr auto kTeamShift = static_cast<std::uint32_t>(std::countr_zero(kLineThreads* kThreadElems<T>));

// This thread's groups of a row.
template <typename T>
struct RowPlaces {
  Part<T> columns;
  bool has[kTeamBlocks<T>];  // whether the row has this block

  __device__ __forceinline__ explicit RowPlaces(std::uint32_t cols) : columns(rowPart<T>(cols, kTeamShift<T>, 0, false)) {
#pragma unroll
    for (std::uint32_t block = 0; block < kTeamBlocks<T>; ++block) has[block] = columns.teamFirst + block * kShortestBlock < cols;
  }
  __device__ __forceinline__ bool hasGroup(std::uint32_t row) const { return has[row / kBlockRows<T>]; }

  // Number in the tensor of a group's first value; of a group that the row does not have, that of one that it has.
  __device__ __forceinline__ std::uint64_t elem(std::uint32_t line, std::uint32_t row) const {
    const auto col = static_cast<std::uint32_t>(columns.first(row));
    return std::uint64_t{line} * columns.tileElems + (hasGroup(row) ? col : row % kBlockRows<T> * kLineThreads * kGroupElems<T>);
  }
};

// What a thread reads of a row beside dOutput, one row ahead. Every load is done, whatever the row has: a condition would keep the
// registers from being loaded as they stand.
template <typename Codec, typename T>
struct RowCodes {
  StoredGroup<Codec, T> groups[kRows];
  std::uint32_t scales[kTeamBlocks<T>];
  float rstd;

  __device__ __forceinline__ void load(const NormBackwardArguments& args, const RowPlaces<T>& places, std::uint32_t line) {
    rstd = args.rstd[line];
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
      const std::uint64_t elem = places.elem(line, row);
      groups[row].load(args.xhat.template codesToLoad<Codec, T>(elem), kGroupElems<T>);
      if (Codec::kHasScale && row % kBlockRows<T> == 0) scales[row / kBlockRows<T>] = loadScale(args.xhat.scaleOf(elem), args.xhat.layout);
    }
  }

  __device__ __forceinline__ void decode(const StoredTensor& tensor, float (&xhat)[kRows][kGroupElems<T>]) const {
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; row += kBlockRows<T>) {
      const GroupNumbers<Codec, T> numbers(typename Codec::Decoder(tensor.layout.scale, scales[row / kBlockRows<T>]));
#pragma unroll
      for (std::uint32_t i = row; i < row + kBlockRows<T>; ++i) numbers.decode(groups[i], xhat[i]);
    }
  }
};

// __syncthreads() for the threads that have a row: by a barrier of their own, not the first. A kernel with barriers of any number takes all
// that a thread block can have, of which a multiprocessor has few: not for kernels that need several thread blocks on each.
__device__ __forceinline__ void syncRow() { asm volatile("barrier.sync %0, %1;" ::"r"(threadIdx.y + 1), "r"(blockDim.x) : "memory"); }

// Registers are for sums: weights and dOutput, this row's and the next one's, go through shared memory. A thread reads what it copied.
struct NormBackwardShared {
  RawGroup weight[kRows][kRowThreads];
  RawGroup gradient[2][kRows][kRowThreads];
  RowWords sums[2][kMaxStripsOfBlock];

  // Asks for the groups of a row that this thread has. wait() is for what was asked for up to the endAsking() before the last kLast ones.
  template <typename T>
  static __device__ __forceinline__ void ask(RawGroup (&to)[kRows][kRowThreads], const unsigned char* values, const RowPlaces<T>& places,
                                             std::uint32_t line) {
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
      if (!places.hasGroup(row)) continue;
      const auto place = static_cast<std::uint32_t>(__cvta_generic_to_shared(&to[row][threadIdx.y * blockDim.x + threadIdx.x]));
      asm volatile("cp.async.cg.shared.global [%0], [%1], %2;" ::"r"(place), "l"(values + places.elem(line, row) * T::kBytes),
                   "n"(kGroupBytes)
                   : "memory");
    }
  }
  static __device__ __forceinline__ void endAsking() { asm volatile("cp.async.commit_group;" ::: "memory"); }
  template <int kLast>
  static __device__ __forceinline__ void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kLast) : "memory");
  }
  static __device__ __forceinline__ RawGroup group(const RawGroup (&of)[kRows][kRowThreads], std::uint32_t row) {
    return loadGroup(reinterpret_cast<const unsigned char*>(&of[row][threadIdx.y * blockDim.x + threadIdx.x]));
  }
};

// A strip for each threadIdx.y. Arrays of values are aligned to groups.
template <typename Codec, typename T>
__global__ void __launch_bounds__(kRowThreads) normBackwardKernel(const __grid_constant__ NormBackwardArguments args) {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();  // sumStripsKernel may come as thread blocks leave; it waits for what they wrote
#endif
  extern __shared__ uint4 sharedMemory[];
  auto& shared = *reinterpret_cast<NormBackwardShared*>(sharedMemory);
  constexpr std::uint32_t kGroup = kGroupElems<T>;
  constexpr auto kStep = static_cast<std::uint32_t>(kStrips);
  const RowPlaces<T> places(args.cols);

  const std::uint32_t strip = blockIdx.x * blockDim.y + threadIdx.y;
  RowCodes<Codec, T> codes = {};
  if (strip < args.rows) {
    shared.ask(shared.weight, args.weight, places, 0);
    shared.ask(shared.gradient[0], args.dOutput, places, strip);
    codes.load(args, places, strip);
  }
  shared.endAsking();

  ThreadSums<T> dWeight = {};
  std::uint32_t turn = 0;
  for (std::uint32_t line = strip; line < args.rows; line += kStep, turn ^= 1) {
    float xhat[kRows][kGroup];
    codes.decode(args.xhat, xhat);
    const float rstd = codes.rstd;
    const bool ends = args.rows - line <= kStep;
    codes.load(args, places, ends ? line : line + kStep);
    if (!ends) shared.ask(shared.gradient[turn ^ 1], args.dOutput, places, line + kStep);
    shared.endAsking();
    shared.wait<1>();

    float sums[kRows];
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
      float weight[kGroup], g[kGroup];
      widenGroup<T>(shared.group(shared.weight, row), weight);
      widenGroup<T>(shared.group(shared.gradient[turn], row), g);
#pragma unroll
      for (std::uint32_t i = 0; i < kGroup; ++i) g[i] *= weight[i];
      const float sum = groupSum<T>(g, xhat[row]);
      sums[row] = places.hasGroup(row) ? sum : 0.0f;
    }
    const float sum = sumOfRow(sums, places.columns, shared.sums[turn][threadIdx.y], [] { syncRow(); });
    const float mean = meanOf(sum, static_cast<float>(args.cols));
    // Where as much is written as is read, writing goes faster when reading has ended.
    if (args.output != nullptr) shared.wait<0>();

#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
      const std::uint64_t place = places.elem(line, row) * T::kBytes;
      float weight[kGroup], d[kGroup], values[kGroup];
      widenGroup<T>(shared.group(shared.weight, row), weight);
      widenGroup<T>(shared.group(shared.gradient[turn], row), d);
#pragma unroll
      for (std::uint32_t i = 0; i < kGroup; ++i) {
        values[i] = normGradient(d[i] * weight[i], xhat[row][i], mean, rstd);
        dWeight[row][i] = fmaf(d[i], xhat[row][i], dWeight[row][i]);
      }
      if (!places.hasGroup(row)) continue;
      storeGroup(args.dX + place, narrowAnyNan<T>(values));
      if (args.output == nullptr) continue;
#pragma unroll
      for (std::uint32_t i = 0; i < kGroup; ++i) values[i] = xhat[row][i] * weight[i];
      storeGroup(args.output + place, narrowAnyNan<T>(values));
    }
  }

  shared.wait<0>();
  addStripsOfBlock<T>(dWeight, reinterpret_cast<float4*>(sharedMemory));
  if (threadIdx.y > 0) return;
  float* sums = args.strips + std::uint64_t{blockIdx.x} * args.cols;
#pragma unroll
  for (std::uint32_t row = 0; row < kRows; ++row) {
    if (!places.hasGroup(row)) continue;
#pragma unroll
    for (std::uint32_t i = 0; i < kGroup; i += 4) {
      const float* four = dWeight[row] + i;
      *reinterpret_cast<float4*>(sums + places.elem(0, row) + i) = make_float4(four[0], four[1], four[2], four[3]);
    }
  }
}

}  // namespace qccl::memory::cuda
