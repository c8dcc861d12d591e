// Waiting for other GPUs: what is waited for lies in the waiting rank's own arena; every wait has a bound and looks at the abort words.
// And flags of 4 bytes: what a thread block wrote before it sets one is visible to whoever has seen it.
#pragma once

#include <cstdint>

#include "collectives/cuda/kernel_call.hpp"

namespace qccl::collectives::cuda {

__device__ __forceinline__ std::uint32_t loadAcquire(const std::uint32_t* word) {
  std::uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
  return value;
}

__device__ __forceinline__ std::uint32_t loadRelaxed(const std::uint32_t* word) {
  std::uint32_t value;
  asm volatile("ld.relaxed.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
  return value;
}

__device__ __forceinline__ void storeRelease(std::uint32_t* word, std::uint32_t value) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" : : "l"(word), "r"(value) : "memory");
}

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
  CallState& own = *call.state;
  if (atomicExch(&own.stopped, 1u) != 0) return;
  FailureRecord& failure = call.host->failure;
  failure.peer = static_cast<std::int32_t>(peer);
  failure.call = own.calls;
  failure.own = call.announcement;
  if (theirs != nullptr) failure.theirs = *theirs;
  __threadfence_system();
  *static_cast<volatile std::uint32_t*>(&failure.kind) = kind;
}

// Whether a wait has to end. The host's abort word lies in its memory, which thousands of warps must not read all the time (a wait would
// take milliseconds for all of them): each looks every kLookNs, and the first that sees it tells the others of this rank.
class Patience {
 public:
  __device__ __forceinline__ explicit Patience(const DeviceCall& call)
      : call_(call), own_(*call.state), start_(nanoseconds()), looked_(start_) {}

  // Now and then. `peer` is who is waited for.
  __device__ __forceinline__ bool isOver(std::uint32_t peer) {
    if (*static_cast<const volatile std::uint32_t*>(&own_.stopped) != 0) return true;
    const std::uint64_t now = nanoseconds();
    if (now - looked_ > kLookNs) {
      looked_ = now;
      if (*static_cast<const volatile std::uint32_t*>(&call_.host->abort) != 0) {
        atomicExch(&own_.stopped, 1u);
        return true;
      }
    }
    if (now - start_ <= call_.timeoutNs) return false;
    giveUp(call_, FailureRecord::timeout, peer, nullptr);
    return true;
  }

 private:
  static constexpr std::uint64_t kLookNs = 10'000'000;

  const DeviceCall& call_;
  CallState& own_;
  const std::uint64_t start_;
  std::uint64_t looked_;
};

// Until isReady(); false if the call has failed. `peer` is who is waited for.
template <typename IsReady>
__device__ __forceinline__ bool spinUntil(const DeviceCall& call, std::uint32_t peer, IsReady isReady) {
  constexpr std::uint32_t kSpins = 256;
  Patience patience(call);
  while (true) {
    for (std::uint32_t spin = 0; spin < kSpins; ++spin) {
      if (isReady()) return true;
    }
    if (patience.isOver(peer)) return false;
  }
}

// The same for all lanes of a warp: until isReady() on each of them. They leave together.
template <typename IsReady>
__device__ __forceinline__ bool warpSpinUntil(const DeviceCall& call, std::uint32_t peer, IsReady isReady) {
  constexpr std::uint32_t kAll = 0xffffffffu;
  constexpr std::uint32_t kSpins = 64;
  if (__all_sync(kAll, isReady())) return true;
  Patience patience(call);
  while (true) {
    for (std::uint32_t spin = 0; spin < kSpins; ++spin) {
      if (__all_sync(kAll, isReady())) return true;
    }
    if (__any_sync(kAll, threadIdx.x % 32 == 0 && patience.isOver(peer))) return false;
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
