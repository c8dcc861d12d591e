#include "transport/cuda_ipc/peer_memory.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <string>

#include "core/error.hpp"
#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"
#include "device/cuda/stream.hpp"
#include "transport/together.hpp"

namespace qccl::transport {

// What a rank tells the others.
struct PeerOffer {
  std::uint64_t process;  // a number that threads of one process have in common
  unsigned char* pointer;
  cudaIpcMemHandle_t handle;
  bool hasHandle;
  char bus[16];  // of the GPU
  std::int32_t multiprocessors;
  std::int32_t capability;
};

namespace {

// Every rank's `mine`, as the struct that it is.
template <typename T>
std::vector<T> gather(Control& control, const T& mine, Deadline deadline) {
  const std::vector<std::string> all = control.allGather(std::string(reinterpret_cast<const char*>(&mine), sizeof(mine)), deadline);
  std::vector<T> result(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].size() != sizeof(T)) fail(qcclInvalidUsage, "rank ", i, " runs another version of qccl; use the same library on all ranks");
    std::memcpy(&result[i], all[i].data(), sizeof(T));
  }
  return result;
}

// Process ids repeat between containers.
std::uint64_t processNumber() {
  static const std::uint64_t number = [] {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
  }();
  return number;
}

PeerOffer offerOf(unsigned char* memory, int device) {
  PeerOffer offer{};
  offer.process = processNumber();
  offer.pointer = memory;
  // Not every system has inter-process handles; threads of one process do without.
  offer.hasHandle = cudaIpcGetMemHandle(&offer.handle, memory) == cudaSuccess;
  (void)cudaGetLastError();
  QCCL_CUDA_CHECK(cudaDeviceGetPCIBusId(offer.bus, sizeof(offer.bus), device));
  cudaDeviceProp properties;
  QCCL_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  offer.multiprocessors = properties.multiProcessorCount;
  offer.capability = properties.major * 10 + properties.minor;
  return offer;
}

void requireAccess(int device, const PeerOffer& peer, int rank) {
  int other = -1;
  if (cudaDeviceGetByPCIBusId(&other, peer.bus) != cudaSuccess) {
    (void)cudaGetLastError();
    fail(qcclInvalidUsage, "the GPU ", peer.bus, " of rank ", rank,
         " is hidden from this process (CUDA_VISIBLE_DEVICES?); let every process see all GPUs of the communicator");
  }
  int can = 0;
  if (other != device) QCCL_CUDA_CHECK(cudaDeviceCanAccessPeer(&can, device, other));
  if (other != device && can == 0) {
    fail(qcclInvalidUsage, "GPU ", device, " has no peer access to the GPU ", peer.bus, " of rank ", rank,
         "; this version of qccl moves GPU buffers only between GPUs that can write into one another's memory");
  }
  if (other == device) return;
  const cudaError_t enabled = cudaDeviceEnablePeerAccess(other, 0);
  (void)cudaGetLastError();
  if (enabled != cudaSuccess && enabled != cudaErrorPeerAccessAlreadyEnabled) QCCL_CUDA_CHECK(enabled);
}

}  // namespace

PeerMemory::PeerMemory(Control& control, const std::vector<int>& hosts, int device, std::size_t bytes, const std::vector<MemoryFill>& fills,
                       Deadline deadline)
    : device_(device) {
  if (std::set<int>(hosts.begin(), hosts.end()).size() > 1) {
    fail(qcclInvalidUsage, "the ranks are on several hosts; this version of qccl moves GPU buffers only within one host");
  }
  const device::cuda::DeviceGuard guard(device);
  PeerOffer mine{};
  together(control, deadline, [&] {
    void* memory = nullptr;
    QCCL_CUDA_CHECK(cudaMalloc(&memory, bytes));
    own_ = static_cast<unsigned char*>(memory);
    device::cuda::Stream stream;
    std::size_t filled = 0;
    for (const MemoryFill& fill : fills) {
      QCCL_CUDA_CHECK(cudaMemsetAsync(own_ + filled, fill.value, fill.bytes, stream.handle()));
      filled += fill.bytes;
    }
    stream.synchronize();
    mine = offerOf(own_, device);
  });
  const std::vector<PeerOffer> offers = gather(control, mine, deadline);
  together(control, deadline, [&] { mapPeers(offers, control.rank()); });

  multiprocessors_ = mine.multiprocessors;
  for (const PeerOffer& offer : offers) {
    multiprocessors_ = std::min(multiprocessors_, offer.multiprocessors);
    const auto there = std::count_if(offers.begin(), offers.end(), [&](const PeerOffer& o) { return std::strcmp(o.bus, offer.bus) == 0; });
    ranksPerDevice_ = std::max(ranksPerDevice_, static_cast<int>(there));
  }
}

void PeerMemory::mapPeers(const std::vector<PeerOffer>& offers, int rank) {
  const PeerOffer& mine = offers[static_cast<std::size_t>(rank)];
  for (std::size_t i = 0; i < offers.size(); ++i) {
    const PeerOffer& peer = offers[i];
    if (peer.capability != mine.capability) {
      fail(qcclInvalidUsage, "rank ", rank, " has a GPU of compute capability ", mine.capability / 10, ".", mine.capability % 10, ", rank ",
           i, " one of ", peer.capability / 10, ".", peer.capability % 10, "; use GPUs of one kind in a communicator");
    }
    requireAccess(device_, peer, static_cast<int>(i));
    if (peer.process == mine.process) {
      arenas_.push_back(peer.pointer);
      continue;
    }
    if (!peer.hasHandle) fail(qcclInvalidUsage, "the GPU memory of rank ", i, " cannot be shared between processes on this system");
    void* mapped = nullptr;
    QCCL_CUDA_CHECK(cudaIpcOpenMemHandle(&mapped, peer.handle, cudaIpcMemLazyEnablePeerAccess));
    opened_.push_back(mapped);
    arenas_.push_back(static_cast<unsigned char*>(mapped));
  }
}

PeerMemory::~PeerMemory() {
  if (abandoned_) return;
  for (void* mapped : opened_) (void)cudaIpcCloseMemHandle(mapped);
  if (own_ != nullptr) (void)cudaFree(own_);
}

}  // namespace qccl::transport
