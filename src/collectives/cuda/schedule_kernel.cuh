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

#include "collectives/cuda/call_buffers.cuh"
#include "collectives/cuda/call_frame.cuh"
#include "collectives/cuda/wire.cuh"
#include "quant/noise.hpp"

namespace qccl::collectives::cuda {

using quant::cuda::kThreads;
static_assert(kThreads == kScheduleThreads);

// Buffers: what the caller's hold (call_buffers.cuh).
template <typename Wire, typename T, bool kStochastic, typename Buffers>
class BlockRun {
 public:
  __device__ __forceinline__ BlockRun(const ScheduleCall& call, unsigned char* shared)
      : call_(call), own_(*call.state), shared_(shared), firstTile_(own_.blocks[blockIdx.x].tiles), number_(own_.calls) {}

  __device__ __forceinline__ void run() {
    if (!settle(call_)) return;
    const std::uint32_t tiles = blockIdx.x < call_.tiles ? (call_.tiles - blockIdx.x - 1) / gridDim.x + 1 : 0;
    for (std::uint32_t i = 0; i < tiles + call_.lookahead; ++i) {
      if (i < tiles) {
        if (!waitForCredit(i)) return;
        if (!runSteps<true>(0, call_.firstWait, i)) return;
      }
      // When its first messages are on their way.
      if (i == 0) meetRanks();
      if (i < call_.lookahead) continue;
      const std::uint32_t tile = i - call_.lookahead;
      if (!runSteps<false>(call_.firstWait, call_.steps, tile)) return;
      acknowledge(tile, tile + 1 == tiles);
    }
    if (tiles + call_.lookahead == 0) meetRanks();
    finish(tiles);
  }

 private:
  __device__ __forceinline__ BlockFlags& flags(std::uint32_t rank) const { return headOf(call_.arenas[rank]).blocks[blockIdx.x]; }

  static __device__ __forceinline__ bool has(std::uint32_t mask, std::uint32_t rank) { return rank < kMaxRanks && (mask >> rank & 1) != 0; }

  // By the thread block that has the fewest tiles.
  __device__ __forceinline__ void meetRanks() const {
    if (blockIdx.x == gridDim.x - 1 && threadIdx.x < 32) exchangeFingerprints(call_, number_);
  }

  // Until the peers are done with what this tile's messages will overwrite. Also a barrier.
  __device__ __forceinline__ bool waitForCredit(std::uint32_t i) const {
    const std::uint32_t done = i < call_.ring ? firstTile_ : firstTile_ + i + 1 - call_.ring;
    const std::uint32_t peer = threadIdx.x;
    return blockAll(!has(call_.receivers, peer) || waitUntil(call_, &flags(call_.rank).read[peer], done, peer));
  }

  __device__ __forceinline__ void acknowledge(std::uint32_t i, bool lastOfCall) {
    __syncthreads();
    const std::uint32_t peer = threadIdx.x;
    const bool told = lastOfCall ? peer < call_.ranks && peer != call_.rank : has(call_.senders, peer);
    if (told) storeRelease(&flags(peer).read[call_.rank], firstTile_ + i + 1);
  }

  __device__ __forceinline__ void finish(std::uint32_t tiles) {
    if (threadIdx.x != 0) return;
    if (tiles > 0) own_.blocks[blockIdx.x].tiles = firstTile_ + tiles;
    if (kCounts && encodedBlocks_ > 0) quant::cuda::addCount(call_.counts->blocks, encodedBlocks_);
    if (leave(call_, number_)) own_.regionsABlock = call_.regionsABlock;
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
    return call_.arenas[rank] + kRegionsOffset + region + std::size_t{inRing} * call_.slotBytes;
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
          if (call_.divide && sumElems > 0) divideSum(sum, call_.ranks);
          continue;
        }
      }
      const Chunk chunk = partOf(step.chunk, i);
      const auto elems = static_cast<std::uint32_t>(chunk.elems);
      if (step.kind == StepKind::loadInput || step.kind == StepKind::loadSlot) sumElems = elems;
      if (elems == 0) continue;
      const Part<T> part(elems, blockShift(), 0);
      const PackedLayout layout = layoutFor(elems, step.chunk);  // a copy, for registers
      const MessagePlace at = {chunk.firstElem, elems, layout};
      if (step.kind == StepKind::encodeInput) {
        if (!kFirst) __syncthreads();  // what was made before may still be read
        ownIsFirst = kFirst;
        if (Buffers::template encode<kStochastic>(call_, part, chunk, at, noiseKey(call_.rank, s), ownMessage(i, kFirst)))
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
            Wire::template encodeSum<kStochastic>(part, sum, at, noiseKey(call_.rank, s), call_.counts, ownMessage(i, false));
            countBlocks(elems);
            __syncthreads();
            break;
          case StepKind::recv:
            if (!blockAll(threadIdx.x != 0 || waitUntil(call_, ready(call_.rank, i, step.slot), firstTile_ + i + 1, step.peer)))
              return false;
            break;
          case StepKind::loadInput:
            Buffers::template take<false>(call_, part, chunk, sum);
            break;
          case StepKind::addInput:
            Buffers::template take<true>(call_, part, chunk, sum);
            break;
          case StepKind::loadSlot:
            Wire::template take<false>(part, message, at, sum);
            break;
          case StepKind::addSlot:
            Wire::template take<true>(part, message, at, sum);
            break;
          case StepKind::storeSum:
            if (Buffers::template store<kStochastic>(call_, part, chunk, sum, noiseKey(kEveryRank, 0))) countBlocks(elems);
            break;
          case StepKind::decodeSlot:
            Buffers::decode(call_, part, chunk, at, message);
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

  __device__ __forceinline__ std::uint32_t blockShift() const { return Wire::kExact ? 8 : call_.layout.blockShift; }

  __device__ __forceinline__ std::uint64_t noiseKey(std::uint32_t rank, std::uint32_t step) const {
    return kStochastic ? quant::noiseKey(call_.seed, std::uint64_t{number_} + 1, rank, step) : 0;
  }

  __device__ __forceinline__ void countBlocks(std::uint32_t elems) {
    if (kCounts) encodedBlocks_ += (elems + (1u << blockShift()) - 1) >> blockShift();
  }

  static constexpr bool kCounts = !Wire::kExact;

  const ScheduleCall& call_;
  CallState& own_;
  unsigned char* const shared_;
  const std::uint32_t firstTile_;  // of this thread block, counted over all calls
  const std::uint32_t number_;     // of this call, from 0
  std::uint64_t encodedBlocks_ = 0;
};

template <typename Wire, typename T, bool kStochastic, typename Buffers>
__global__ void __launch_bounds__(kThreads, 2) scheduleKernel(const __grid_constant__ ScheduleCall call) {
  extern __shared__ uint4 sharedMessages[];
  BlockRun<Wire, T, kStochastic, Buffers>(call, reinterpret_cast<unsigned char*>(sharedMessages)).run();
}

template <typename Wire, typename T, bool kStochastic, typename Buffers = ValueBuffers<Wire, T>>
CallKernel scheduleKernelOf() {
  return {reinterpret_cast<const void*>(scheduleKernel<Wire, T, kStochastic, Buffers>), quant::cuda::kTileElems<T>, kThreads};
}

}  // namespace qccl::collectives::cuda
