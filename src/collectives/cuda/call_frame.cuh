// What every kernel of a call does beside moving data: it tells the other ranks what is called, hears it from them, and counts the call. A
// kernel ends only when it has heard of all ranks: the memory that calls use in turn relies on that.
#pragma once

#include "collectives/cuda/flagged_line.cuh"
#include "collectives/cuda/wait.cuh"

namespace qccl::collectives::cuda {

// True on all threads of the block if it is on all.
__device__ __forceinline__ bool blockAll(bool good) { return __syncthreads_and(good ? 1 : 0) != 0; }

__device__ __forceinline__ CallHeader& headerAt(const DeviceCall& call, std::uint32_t number, std::uint32_t rank, std::uint32_t from) {
  return headOf(call.arenas[rank]).headers[number % 2][from];
}

__device__ __forceinline__ std::uint32_t headerWord(const DeviceCall& call, std::uint32_t i) {
  constexpr std::uint32_t kFingerprintWords = offsetof(CallHeader, announcement) / 4;
  if (i < kFingerprintWords) return static_cast<std::uint32_t>(call.fingerprint >> (32 * i));
  return reinterpret_cast<const std::uint32_t*>(&call.announcement)[i - kFingerprintWords];
}

// By a thread block. If regions are shared out to thread blocks in another way than in the call before, that must have ended on all ranks,
// as a whole. False if the call has failed.
__device__ __forceinline__ bool settle(const ScheduleCall& call) {
  const CallState& own = *call.state;
  if (own.regionsABlock == call.regionsABlock) return true;
  bool good = true;
  for (std::uint32_t i = threadIdx.x; i < kMaxThreadBlocks * call.ranks && good; i += blockDim.x) {
    const std::uint32_t peer = i % call.ranks;
    const BlockFlags& flags = headOf(call.arenas[call.rank]).blocks[i / call.ranks];
    if (peer != call.rank) good = waitUntil(call, &flags.read[peer], own.blocks[i / call.ranks].tiles, peer);
  }
  return blockAll(good);
}

// Tells every rank what is called here. By one warp.
__device__ __forceinline__ void postHeaders(const DeviceCall& call, std::uint32_t number) {
  constexpr std::uint32_t kWords = offsetof(CallHeader, number) / 4;
  const std::uint32_t lane = threadIdx.x % 32;
  for (std::uint32_t i = lane; i < kWords * call.ranks; i += 32) {
    const std::uint32_t peer = i / kWords;
    if (peer == call.rank) continue;
    reinterpret_cast<std::uint32_t*>(&headerAt(call, number, peer, call.rank))[i % kWords] = headerWord(call, i % kWords);
  }
  __syncwarp();
  if (lane < call.ranks && lane != call.rank) storeRelease(&headerAt(call, number, lane, call.rank).number, number + 1);
}

// By one warp: tells every rank what is called here, and waits until all have made this call. In the least time: fingerprints come in
// words that carry their flag. Who calls something else may use another kernel; then its header tells.
__device__ __forceinline__ void exchangeFingerprints(const DeviceCall& call, std::uint32_t number) {
  const std::uint32_t peer = threadIdx.x % 32;
  const bool isPeer = peer < call.ranks && peer != call.rank;
  const FlaggedLine mine = {{static_cast<std::uint32_t>(call.fingerprint), static_cast<std::uint32_t>(call.fingerprint >> 32)}};
  if (isPeer) mine.store(&headOf(call.arenas[peer]).fingerprints[number % 2][call.rank], number + 1);
  postHeaders(call, number);
  if (!isPeer) return;
  const CallHeader& header = headerAt(call, number, call.rank, peer);
  bool same = false;
  const bool heard = spinUntil(call, peer, [&] {
    FlaggedLine theirs;
    same = theirs.load(&headOf(call.arenas[call.rank]).fingerprints[number % 2][peer], number + 1) && theirs.words[0] == mine.words[0] &&
           theirs.words[1] == mine.words[1];
    return same || isReached(loadAcquire(&header.number), number + 1);
  });
  if (heard && !same && header.fingerprint != call.fingerprint) giveUp(call, FailureRecord::mismatch, peer, &header.announcement);
}

// For one thread of each thread block, when all of it is done: the last one counts the call. True for that one. No fence: the next kernel
// begins when this one has ended.
__device__ __forceinline__ bool leave(const DeviceCall& call, std::uint32_t number) {
  CallState& own = *call.state;
  if (gridDim.x > 1 && atomicInc(&own.finishedBlocks, gridDim.x - 1) + 1 != gridDim.x) return false;
  own.calls = number + 1;
  return true;
}

}  // namespace qccl::collectives::cuda
