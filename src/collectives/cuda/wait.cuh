// Flags between GPUs, and waiting for them. A flag is 4 bytes in the waiting rank's own memory. What a thread block wrote before it signals
// is visible to whoever has seen the flag; every wait has a bound and looks at the abort words.
#pragma once

#include <cstdint>

#include "collectives/cuda/kernel_call.hpp"

namespace qccl::collectives::cuda {

__device__ __forceinline__ std::uint32_t loadAcquire(const std::uint32_t* word) {
  std::uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
  return value;
}

__device__ __forceinline__ void storeRelease(std::uint32_t* word, std::uint32_t value) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" : : "l"(word), "r"(value) : "memory");
}

// After a fence (__threadfence_system) that orders what came before.
__device__ __forceinline__ void storeRelaxed(std::uint32_t* word, std::uint32_t value) {
  asm volatile("st.relaxed.sys.global.u32 [%0], %1;" : : "l"(word), "r"(value) : "memory");
}

__device__ __forceinline__ std::uint64_t nanoseconds() {
  std::uint64_t time;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(time));
  return time;
}

// Numbers of tiles wrap around; none is 2^31 ahead of another.
__device__ __forceinline__ bool isReached(std::uint32_t value, std::uint32_t awaited) {
  return static_cast<std::int32_t>(value - awaited) >= 0;
}

__device__ __forceinline__ ArenaHead& headOf(unsigned char* arena) { return *reinterpret_cast<ArenaHead*>(arena); }

// The first thread that gives up stops the others of this rank and tells the host why.
static __device__ __noinline__ void giveUp(const DeviceCall& call, FailureRecord::Kind kind, std::uint32_t peer,
                                           const Announcement* theirs) {
  ArenaHead& own = headOf(call.arenas[call.rank]);
  if (atomicExch(&own.stopped, 1u) != 0) return;
  FailureRecord& failure = call.host->failure;
  failure.peer = static_cast<std::int32_t>(peer);
  failure.call = own.calls;
  failure.own = call.announcement;
  if (theirs != nullptr) failure.theirs = *theirs;
  __threadfence_system();
  *static_cast<volatile std::uint32_t*>(&failure.kind) = kind;
}

// Until isReady(); false if the call has failed. `peer` is who is waited for.
template <typename IsReady>
__device__ __forceinline__ bool spinUntil(const DeviceCall& call, std::uint32_t peer, IsReady isReady) {
  // Between looks at the abort words, which lie in the host's memory, and at the clock.
  constexpr std::uint32_t kSpins = 256;
  const volatile std::uint32_t* stopped = &headOf(call.arenas[call.rank]).stopped;
  const volatile std::uint32_t* aborted = &call.host->abort;
  const std::uint64_t start = nanoseconds();
  while (true) {
    for (std::uint32_t spin = 0; spin < kSpins; ++spin) {
      if (isReady()) return true;
    }
    if (*stopped != 0 || *aborted != 0) return false;
    if (nanoseconds() - start > call.timeoutNs) {
      giveUp(call, FailureRecord::timeout, peer, nullptr);
      return false;
    }
  }
}

// The same for all lanes of a warp: until isReady() on each of them. They leave together.
template <typename IsReady>
__device__ __forceinline__ bool warpSpinUntil(const DeviceCall& call, std::uint32_t peer, IsReady isReady) {
  constexpr std::uint32_t kAll = 0xffffffffu;
  constexpr std::uint32_t kSpins = 64;
  if (__all_sync(kAll, isReady())) return true;
  const volatile std::uint32_t* stopped = &headOf(call.arenas[call.rank]).stopped;
  const volatile std::uint32_t* aborted = &call.host->abort;
  const std::uint64_t start = nanoseconds();
  while (true) {
    for (std::uint32_t spin = 0; spin < kSpins; ++spin) {
      if (__all_sync(kAll, isReady())) return true;
    }
    const bool late = nanoseconds() - start > call.timeoutNs;
    if (__any_sync(kAll, *stopped != 0 || *aborted != 0)) return false;
    if (!__any_sync(kAll, late)) continue;
    if (threadIdx.x % 32 == 0) giveUp(call, FailureRecord::timeout, peer, nullptr);
    return false;
  }
}

static __device__ __noinline__ bool spinUntilReached(const DeviceCall& call, const std::uint32_t* word, std::uint32_t awaited,
                                                     std::uint32_t peer) {
  return spinUntil(call, peer, [&] { return isReached(loadAcquire(word), awaited); });
}

// For one thread; false if the call has failed.
__device__ __forceinline__ bool waitUntil(const DeviceCall& call, const std::uint32_t* word, std::uint32_t awaited, std::uint32_t peer) {
  return isReached(loadAcquire(word), awaited) || spinUntilReached(call, word, awaited, peer);
}

}  // namespace qccl::collectives::cuda
