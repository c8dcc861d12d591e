// What every kernel of a call does beside moving data: it tells the other ranks what is called, hears it from them, and counts the call. A
// kernel ends only when it has heard of all ranks: the memory that calls use in turn relies on that.
//
// A **team** is a thread block or a warp, all of whose threads call a function together.
#pragma once

#include "collectives/cuda/flagged_line.cuh"
#include "collectives/cuda/wait.cuh"

namespace qccl::collectives::cuda {

struct BlockTeam {
  static __device__ __forceinline__ std::uint32_t thread() { return threadIdx.x; }
  static __device__ __forceinline__ std::uint32_t threads() { return blockDim.x; }
  static __device__ __forceinline__ void sync() { __syncthreads(); }
  // True on all threads if it is on all.
  static __device__ __forceinline__ bool all(bool good) { return __syncthreads_and(good ? 1 : 0) != 0; }
};

struct WarpTeam {
  static __device__ __forceinline__ std::uint32_t thread() { return threadIdx.x % 32; }
  static __device__ __forceinline__ std::uint32_t threads() { return 32; }
  static __device__ __forceinline__ void sync() { __syncwarp(); }
};

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
  const ArenaHead& own = headOf(call.arenas[call.rank]);
  if (own.regionsABlock == call.regionsABlock) return true;
  bool good = true;
  for (std::uint32_t i = BlockTeam::thread(); i < kMaxThreadBlocks * call.ranks && good; i += BlockTeam::threads()) {
    const std::uint32_t peer = i % call.ranks;
    const BlockFlags& block = own.blocks[i / call.ranks];
    if (peer != call.rank) good = waitUntil(call, &block.read[peer], block.tiles, peer);
  }
  return BlockTeam::all(good);
}

// Tells every rank what is called here. Of one thread block.
template <typename Team>
__device__ __forceinline__ void postHeaders(const DeviceCall& call, std::uint32_t number) {
  constexpr std::uint32_t kWords = offsetof(CallHeader, number) / 4;
  for (std::uint32_t i = Team::thread(); i < kWords * call.ranks; i += Team::threads()) {
    const std::uint32_t peer = i / kWords;
    if (peer == call.rank) continue;
    reinterpret_cast<std::uint32_t*>(&headerAt(call, number, peer, call.rank))[i % kWords] = headerWord(call, i % kWords);
  }
  Team::sync();
  const std::uint32_t peer = Team::thread();
  if (peer < call.ranks && peer != call.rank) storeRelease(&headerAt(call, number, peer, call.rank).number, number + 1);
}

// For one thread: whether rank `peer`, which has said what it calls, has made the same call.
__device__ __forceinline__ bool isSameCall(const DeviceCall& call, std::uint32_t number, std::uint32_t peer) {
  const CallHeader& header = headerAt(call, number, call.rank, peer);
  if (header.fingerprint == call.fingerprint) return true;
  giveUp(call, FailureRecord::mismatch, peer, &header.announcement);
  return false;
}

// By a thread block: waits until all ranks have made this call; false if one has made another.
__device__ __forceinline__ bool checkHeaders(const DeviceCall& call, std::uint32_t number) {
  bool good = true;
  const std::uint32_t peer = BlockTeam::thread();
  if (peer < call.ranks && peer != call.rank) {
    good = waitUntil(call, &headerAt(call, number, call.rank, peer).number, number + 1, peer) && isSameCall(call, number, peer);
  }
  return BlockTeam::all(good);
}

// The same by one warp in the least time: fingerprints come in words that carry their flag. Who calls something else may use another
// kernel; then its header tells.
__device__ __forceinline__ void exchangeFingerprints(const DeviceCall& call, std::uint32_t number) {
  const std::uint32_t peer = threadIdx.x % 32;
  const bool isPeer = peer < call.ranks && peer != call.rank;
  const FlaggedLine mine = {{static_cast<std::uint32_t>(call.fingerprint), static_cast<std::uint32_t>(call.fingerprint >> 32)}};
  if (isPeer) mine.store(&headOf(call.arenas[peer]).fingerprints[number % 2][call.rank], number + 1);
  postHeaders<WarpTeam>(call, number);
  if (!isPeer) return;
  const CallHeader& header = headerAt(call, number, call.rank, peer);
  bool same = false;
  const bool heard = spinUntil(call, peer, [&] {
    FlaggedLine theirs;
    same = theirs.load(&headOf(call.arenas[call.rank]).fingerprints[number % 2][peer], number + 1) && theirs.words[0] == mine.words[0] &&
           theirs.words[1] == mine.words[1];
    return same || isReached(loadAcquire(&header.number), number + 1);
  });
  if (heard && !same) isSameCall(call, number, peer);
}

// For one thread of each thread block, when all of it is done: the last one counts the call. True for that one. No fence: the next kernel
// begins when this one has ended.
__device__ __forceinline__ bool leave(const DeviceCall& call, std::uint32_t number) {
  ArenaHead& own = headOf(call.arenas[call.rank]);
  if (gridDim.x > 1 && atomicInc(&own.finishedBlocks, gridDim.x - 1) + 1 != gridDim.x) return false;
  own.calls = number + 1;
  return true;
}

}  // namespace qccl::collectives::cuda
