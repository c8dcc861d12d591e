#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"
#include "device/cuda/stream.hpp"
#include "transport/cuda_ipc/gather_structs.hpp"
#include "transport/cuda_ipc/peer_memory.hpp"
#include "transport/together.hpp"

namespace qccl::transport {
namespace {

struct GpuOffer {
  unsigned char* pointer;
  cudaIpcMemHandle_t handle;
  bool hasHandle;
};

void requireAccess(int device, const GpuFacts& peer, std::size_t rank) {
  int other = -1;
  if (cudaDeviceGetByPCIBusId(&other, peer.bus) != cudaSuccess) {
    (void)cudaGetLastError();
    fail(qcclInvalidUsage, "the GPU ", peer.bus, " of rank ", rank,
         " is hidden from this process (CUDA_VISIBLE_DEVICES?); let every process see all GPUs of the communicator");
  }
  if (other == device) return;
  int can = 0;
  QCCL_CUDA_CHECK(cudaDeviceCanAccessPeer(&can, device, other));
  if (can == 0) fail(qcclInvalidUsage, "GPU ", device, " has no peer access to the GPU ", peer.bus, " of rank ", rank);
  const cudaError_t enabled = cudaDeviceEnablePeerAccess(other, 0);
  (void)cudaGetLastError();
  if (enabled != cudaSuccess && enabled != cudaErrorPeerAccessAlreadyEnabled) QCCL_CUDA_CHECK(enabled);
}

class GpuMemory final : public PeerMemory {
 public:
  GpuMemory(Control& control, const std::vector<int>& hosts, int device, std::size_t bytes, const std::vector<MemoryFill>& fills,
            Deadline deadline)
      : PeerMemory(Kind::gpu, control, hosts, device, deadline) {
    const device::cuda::DeviceGuard guard(device);
    GpuOffer mine{};
    together(control, deadline, [&] {
      allocate(bytes, fills);
      mine.pointer = own_;
      // Not every system has inter-process handles; threads of one process do without.
      mine.hasHandle = cudaIpcGetMemHandle(&mine.handle, own_) == cudaSuccess;
      (void)cudaGetLastError();
    });
    const std::vector<GpuOffer> offers = gatherStructs(control, mine, deadline);
    together(control, deadline, [&] { mapPeers(offers, static_cast<std::size_t>(control.rank())); });
  }

  ~GpuMemory() override {
    if (abandoned()) return;
    for (void* mapped : opened_) (void)cudaIpcCloseMemHandle(mapped);
    if (own_ != nullptr) (void)cudaFree(own_);
  }

 private:
  void allocate(std::size_t bytes, const std::vector<MemoryFill>& fills) {
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
  }

  void mapPeers(const std::vector<GpuOffer>& offers, std::size_t rank) {
    for (std::size_t i = 0; i < offers.size(); ++i) {
      requireAccess(device(), facts()[i], i);
      if (facts()[i].process == facts()[rank].process) {
        arenas_.push_back(offers[i].pointer);
        continue;
      }
      if (!offers[i].hasHandle) {
        fail(qcclInvalidUsage, "the GPU memory of rank ", i, " cannot be shared between processes on this system");
      }
      void* mapped = nullptr;
      QCCL_CUDA_CHECK(cudaIpcOpenMemHandle(&mapped, offers[i].handle, cudaIpcMemLazyEnablePeerAccess));
      opened_.push_back(mapped);
      arenas_.push_back(static_cast<unsigned char*>(mapped));
    }
  }

  unsigned char* own_ = nullptr;
  std::vector<void*> opened_;  // of other processes
};

}  // namespace

std::unique_ptr<PeerMemory> shareGpuMemory(Control& control, const std::vector<int>& hosts, int device, std::size_t bytes,
                                           const std::vector<MemoryFill>& fills, Deadline deadline) {
  return std::make_unique<GpuMemory>(control, hosts, device, bytes, fills, deadline);
}

}  // namespace qccl::transport
