// The kernel that runs any schedule (schedule.hpp): the same steps as the host's executor, in the same order, so that it gives the same
// bits. One launch is one call.
//
// Thread block b takes tiles b, b + blocks, ... and talks to thread block b of the other ranks only (arena.hpp). It encodes into shared
// memory and copies from there into the peers' arenas; what peers sent it reads from its own. With lookahead the first steps of a tile, up
// to the first that waits, run before the last ones of the tile before, so that messages travel while sums are made.
//
// A slot is written again `ring` tiles later. Before that the writer waits until the reader has acknowledged the tile that lay there;
// before its first tile of a call, until it has acknowledged all of the calls before. So a rank is never more than `ring` tiles ahead of
// another.
#pragma once

#include "collectives/cuda/wait.cuh"
#include "collectives/cuda/wire.cuh"
#include "quant/noise.hpp"

namespace qccl::collectives::cuda {

using quant::cuda::kThreads;
static_assert(kThreads == kScheduleThreads);

template <typename Wire, typename T, bool kStochastic>
class BlockRun {
 public:
  __device__ __forceinline__ BlockRun(const KernelCall& call, unsigned char* shared)
      : call_(call), own_(headOf(call.arenas[call.rank])), shared_(shared), firstTile_(flags(call.rank).tiles), number_(own_.calls) {}

  __device__ __forceinline__ void run() {
    if (!enter()) return;
    const std::uint32_t tiles = blockIdx.x < call_.tiles ? (call_.tiles - blockIdx.x - 1) / gridDim.x + 1 : 0;
    bool checked = blockIdx.x != 0;
    for (std::uint32_t i = 0; i < tiles + call_.lookahead; ++i) {
      if (i < tiles) {
        if (!waitForCredit(i)) return;
        if (!runSteps<true>(0, call_.firstWait, i)) return;
      }
      if (!checked && !checkHeaders()) return;
      checked = true;
      if (i < call_.lookahead) continue;
      const std::uint32_t tile = i - call_.lookahead;
      if (!runSteps<false>(call_.firstWait, call_.steps, tile)) return;
      acknowledge(tile, tile + 1 == tiles);
    }
    if (!checked && !checkHeaders()) return;
    leave(tiles);
  }

 private:
  __device__ __forceinline__ BlockFlags& flags(std::uint32_t rank) const { return headOf(call_.arenas[rank]).blocks[blockIdx.x]; }

  // True on all threads if it is on all.
  static __device__ __forceinline__ bool all(bool good) { return __syncthreads_and(good ? 1 : 0) != 0; }

  static __device__ __forceinline__ bool has(std::uint32_t mask, std::uint32_t rank) { return rank < kMaxRanks && (mask >> rank & 1) != 0; }

  // Thread block 0 tells every rank what is called here.
  __device__ __forceinline__ bool enter() {
    // Memory is shared out to thread blocks in another way than in the call before: that must have ended on all ranks, as a whole.
    bool good = true;
    if (own_.regionsABlock != call_.regionsABlock) {
      for (std::uint32_t i = threadIdx.x; i < kMaxThreadBlocks * call_.ranks && good; i += kThreads) {
        const std::uint32_t peer = i % call_.ranks;
        const BlockFlags& block = own_.blocks[i / call_.ranks];
        if (peer != call_.rank) good = waitUntil(call_, &block.read[peer], block.tiles, peer);
      }
      if (!all(good)) return false;
    }
    if (blockIdx.x != 0) return true;
    constexpr std::uint32_t kWords = offsetof(CallHeader, number) / 4;
    for (std::uint32_t i = threadIdx.x; i < kWords * call_.ranks; i += kThreads) {
      const std::uint32_t peer = i / kWords;
      if (peer != call_.rank) reinterpret_cast<std::uint32_t*>(&headerAt(peer, call_.rank))[i % kWords] = headerWord(i % kWords);
    }
    __syncthreads();
    if (threadIdx.x < call_.ranks && threadIdx.x != call_.rank) storeRelease(&headerAt(threadIdx.x, call_.rank).number, number_ + 1);
    return true;
  }

  __device__ __forceinline__ CallHeader& headerAt(std::uint32_t rank, std::uint32_t from) const {
    return headOf(call_.arenas[rank]).headers[number_ % 2][from];
  }

  __device__ __forceinline__ std::uint32_t headerWord(std::uint32_t i) const {
    constexpr std::uint32_t kFingerprintWords = offsetof(CallHeader, announcement) / 4;
    if (i < kFingerprintWords) return static_cast<std::uint32_t>(call_.fingerprint >> (32 * i));
    return reinterpret_cast<const std::uint32_t*>(&call_.announcement)[i - kFingerprintWords];
  }

  // That all ranks have made the same call.
  __device__ __forceinline__ bool checkHeaders() {
    bool good = true;
    const std::uint32_t peer = threadIdx.x;
    if (peer < call_.ranks && peer != call_.rank) {
      const CallHeader& header = headerAt(call_.rank, peer);
      good = waitUntil(call_, &header.number, number_ + 1, peer);
      if (good && header.fingerprint != call_.fingerprint) {
        giveUp(call_, FailureRecord::mismatch, peer, &header.announcement);
        good = false;
      }
    }
    return all(good);
  }

  // Until the peers are done with what this tile's messages will overwrite. Also a barrier.
  __device__ __forceinline__ bool waitForCredit(std::uint32_t i) {
    const std::uint32_t done = i < call_.ring ? firstTile_ : firstTile_ + i + 1 - call_.ring;
    const std::uint32_t peer = threadIdx.x;
    return all(!has(call_.receivers, peer) || waitUntil(call_, &flags(call_.rank).read[peer], done, peer));
  }

  __device__ __forceinline__ void acknowledge(std::uint32_t i, bool lastOfCall) {
    __syncthreads();
    const std::uint32_t peer = threadIdx.x;
    const bool told = lastOfCall ? peer < call_.ranks && peer != call_.rank : has(call_.senders, peer);
    if (told) storeRelease(&flags(peer).read[call_.rank], firstTile_ + i + 1);
  }

  // The last thread block counts the call.
  __device__ __forceinline__ void leave(std::uint32_t tiles) {
    if (threadIdx.x != 0) return;
    if (tiles > 0) flags(call_.rank).tiles = firstTile_ + tiles;
    if (kCounts && encodedBlocks_ > 0) quant::cuda::addCount(call_.counts->blocks, encodedBlocks_);
    __threadfence();
    if (atomicAdd(&own_.finishedBlocks, 1u) + 1 != gridDim.x) return;
    own_.finishedBlocks = 0;
    own_.regionsABlock = call_.regionsABlock;
    own_.calls = number_ + 1;
  }

  // The part of a chunk that is in this thread block's i-th tile.
  __device__ __forceinline__ Chunk partOf(std::uint32_t chunk, std::uint32_t i) const {
    const Chunk whole = call_.chunks[chunk];
    const std::size_t before = (std::size_t{i} * gridDim.x + blockIdx.x) * quant::cuda::kTileElems<T>;
    if (before >= whole.elems) return {whole.firstElem + whole.elems, 0};
    const std::size_t left = whole.elems - before;
    return {whole.firstElem + before, left < quant::cuda::kTileElems<T> ? left : quant::cuda::kTileElems<T>};
  }

  __device__ __forceinline__ unsigned char* receivedAt(std::uint32_t rank, std::uint32_t i, std::uint32_t slot) const {
    const std::size_t region = std::size_t{blockIdx.x} * call_.regionsABlock * kRegionBytes;
    const std::uint32_t inRing = (firstTile_ + i) % call_.ring * call_.receivedSlots + slot;
    return call_.arenas[rank] + kArenaHeadBytes + region + std::size_t{inRing} * call_.slotBytes;
  }

  // Where a message lies that this rank makes itself, in the first steps or in the others.
  __device__ __forceinline__ unsigned char* ownMessage(std::uint32_t i, bool first) const {
    return shared_ + (first ? i % 2 : 2) * call_.slotBytes;
  }

  // Steps [begin, end) of the thread block's i-th tile: the first ones, which only encode input and send, or the others. The sum lives from
  // the first of those to the last.
  template <bool kFirst>
  __device__ __forceinline__ bool runSteps(std::uint32_t begin, std::uint32_t end, std::uint32_t i) {
    Sum<T> sum;
    std::uint32_t sumElems = 0;
    bool ownIsFirst = true;  // the message made last is one of the first steps
    for (std::uint32_t s = begin; s < end; ++s) {
      const DeviceStep step = call_.step[s];
      if constexpr (!kFirst) {
        if (step.kind == StepKind::divide) {
          if (call_.divide && sumElems > 0) divideSum(sum);
          continue;
        }
      }
      const Chunk chunk = partOf(step.chunk, i);
      const auto elems = static_cast<std::uint32_t>(chunk.elems);
      if (step.kind == StepKind::loadInput || step.kind == StepKind::loadSlot) sumElems = elems;
      if (elems == 0) continue;
      const Part<T> part(elems, blockShift(), 0);
      const MessagePlace at = {chunk.firstElem, elems, layoutFor(elems, step.chunk)};
      if (step.kind == StepKind::encodeInput) {
        if (!kFirst) __syncthreads();  // what was made before may still be read
        ownIsFirst = kFirst;
        Wire::template encodeInput<kStochastic>(part, inputAt(chunk), at, noiseKey(s), call_.counts, ownMessage(i, kFirst));
        countBlocks(elems);
        __syncthreads();
        continue;
      }
      const unsigned char* message = step.received ? receivedAt(call_.rank, i, step.slot) : ownMessage(i, ownIsFirst);
      if (step.kind == StepKind::send) {
        send(message, Wire::messageBytes(at), step, i);
        continue;
      }
      if constexpr (!kFirst) {
        switch (step.kind) {
          case StepKind::encodeSum:
            __syncthreads();
            ownIsFirst = false;
            Wire::template encodeSum<kStochastic>(part, sum, at, noiseKey(s), call_.counts, ownMessage(i, false));
            countBlocks(elems);
            __syncthreads();
            break;
          case StepKind::recv:
            if (!all(threadIdx.x != 0 || waitUntil(call_, ready(call_.rank, i, step.slot), firstTile_ + i + 1, step.peer))) return false;
            break;
          case StepKind::loadInput: {
            RawGroup raw[kRows];
            part.load(inputAt(chunk), raw);
            widen<T>(raw, sum);
            break;
          }
          case StepKind::addInput: {
            RawGroup raw[kRows];
            part.load(inputAt(chunk), raw);
            addWidened<T>(raw, sum);
            break;
          }
          case StepKind::loadSlot:
            Wire::template take<false>(part, message, at, sum);
            break;
          case StepKind::addSlot:
            Wire::template take<true>(part, message, at, sum);
            break;
          case StepKind::storeSum: {
            RawGroup raw[kRows];
            narrow<T>(sum, raw);
            part.store(raw, outputAt(chunk));
            break;
          }
          case StepKind::decodeSlot:
            Wire::decode(part, message, at, outputAt(chunk));
            break;
          default:
            break;
        }
      }
    }
    return true;
  }

  __device__ __forceinline__ const PackedLayout& layoutFor(std::uint32_t elems, std::uint32_t chunk) const {
    const bool whole = Wire::kExact || elems == quant::cuda::kTileElems<T>;
    return whole ? call_.layout : call_.tails[call_.tailOf[chunk]];
  }

  // Copies a message into the peer's arena and says so. Also a barrier: the message's memory may be used again.
  __device__ __forceinline__ void send(const unsigned char* message, std::uint32_t bytes, const DeviceStep& step, std::uint32_t i) {
    unsigned char* to = receivedAt(step.peer, i, step.remoteSlot);
    for (std::uint32_t at = threadIdx.x * 16; at < bytes; at += kThreads * 16)
      quant::cuda::storeGroup(to + at, quant::cuda::loadGroup(message + at));
    __syncthreads();
    if (threadIdx.x == 0) storeRelease(ready(step.peer, i, step.remoteSlot), firstTile_ + i + 1);
  }

  __device__ __forceinline__ std::uint32_t* ready(std::uint32_t rank, std::uint32_t i, std::uint32_t slot) const {
    return &flags(rank).ready[(firstTile_ + i) % call_.ring][slot];
  }

  __device__ __forceinline__ void divideSum(Sum<T>& sum) const {
    const auto by = static_cast<float>(call_.ranks);
#pragma unroll
    for (std::uint32_t row = 0; row < kRows; ++row) {
#pragma unroll
      for (std::uint32_t i = 0; i < kGroupElems<T>; ++i) {
        float& value = sum.rows[row].values[i];
        const float quotient = value / by;
        value = quant::cuda::isNan(quotient) ? quant::cuda::nanOf(value, 0.0f, 0.0f) : quotient;
      }
    }
  }

  __device__ __forceinline__ std::uint32_t blockShift() const { return Wire::kExact ? 8 : call_.layout.blockShift; }

  __device__ __forceinline__ std::uint64_t noiseKey(std::uint32_t step) const {
    return kStochastic ? quant::noiseKey(call_.seed, std::uint64_t{number_} + 1, call_.rank, step) : 0;
  }

  __device__ __forceinline__ void countBlocks(std::uint32_t elems) {
    if (kCounts) encodedBlocks_ += (elems + (1u << blockShift()) - 1) >> blockShift();
  }

  __device__ __forceinline__ const unsigned char* inputAt(const Chunk& chunk) const {
    return call_.input + (chunk.firstElem - call_.inputFirstElem) * T::kBytes;
  }
  __device__ __forceinline__ unsigned char* outputAt(const Chunk& chunk) const {
    return call_.output + (chunk.firstElem - call_.outputFirstElem) * T::kBytes;
  }

  static constexpr bool kCounts = !Wire::kExact;

  const KernelCall& call_;
  ArenaHead& own_;
  unsigned char* const shared_;
  const std::uint32_t firstTile_;  // of this thread block, counted over all calls
  const std::uint32_t number_;     // of this call, from 0
  std::uint64_t encodedBlocks_ = 0;
};

template <typename Wire, typename T, bool kStochastic>
__global__ void __launch_bounds__(kThreads, 2) scheduleKernel(const __grid_constant__ KernelCall call) {
  extern __shared__ uint4 sharedMessages[];
  BlockRun<Wire, T, kStochastic>(call, reinterpret_cast<unsigned char*>(sharedMessages)).run();
}

template <typename Wire, typename T, bool kStochastic>
ScheduleKernel scheduleKernelOf() {
  return {reinterpret_cast<const void*>(scheduleKernel<Wire, T, kStochastic>), quant::cuda::kTileElems<T>};
}

}  // namespace qccl::collectives::cuda

// The kernels of a codec, for kernels.cc: by type (float32, bfloat16, float16), nearest and stochastic.
#define QCCL_SCHEDULE_KERNELS(name, ...)                                                  \
  namespace qccl::collectives::cuda {                                                     \
  ScheduleKernel name(int type, bool stochastic);                                         \
  ScheduleKernel name(int type, bool stochastic) {                                        \
    using namespace quant; /* NOLINT(google-build-using-namespace) */                     \
    using quant::cuda::ScaledCodec;                                                       \
    using quant::cuda::Bf16Codec;                                                         \
    if (stochastic) {                                                                     \
      if (type == 0) return scheduleKernelOf<CodedWire<__VA_ARGS__, F32>, F32, true>();   \
      if (type == 1) return scheduleKernelOf<CodedWire<__VA_ARGS__, Bf16>, Bf16, true>(); \
      return scheduleKernelOf<CodedWire<__VA_ARGS__, F16>, F16, true>();                  \
    }                                                                                     \
    if (type == 0) return scheduleKernelOf<CodedWire<__VA_ARGS__, F32>, F32, false>();    \
    if (type == 1) return scheduleKernelOf<CodedWire<__VA_ARGS__, Bf16>, Bf16, false>();  \
    return scheduleKernelOf<CodedWire<__VA_ARGS__, F16>, F16, false>();                   \
  }                                                                                       \
  }
