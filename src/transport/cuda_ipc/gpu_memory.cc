#include <optional>
#include <utility>

#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"
#include "device/cuda/memory.hpp"
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

// Another process's memory in this one.
class Mapping {
 public:
  explicit Mapping(const cudaIpcMemHandle_t& handle) {
    QCCL_CUDA_CHECK(cudaIpcOpenMemHandle(&data_, handle, cudaIpcMemLazyEnablePeerAccess));
  }
  ~Mapping() {
    if (data_ != nullptr) (void)cudaIpcCloseMemHandle(data_);
  }
  Mapping(Mapping&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  Mapping& operator=(Mapping&&) = delete;

  unsigned char* data() const { return static_cast<unsigned char*>(data_); }
  void release() { data_ = nullptr; }

 private:
  void* data_ = nullptr;
};

class GpuMemory final : public PeerMemory {
 public:
  GpuMemory(Control& control, const std::vector<int>& hosts, int device, std::size_t bytes, const std::vector<MemoryFill>& fills,
            Deadline deadline)
      : PeerMemory(Kind::gpu, control, hosts, device, deadline) {
    const device::cuda::DeviceGuard guard(device);
    together(control, deadline, [&] {
      for (std::size_t i = 0; i < facts().size(); ++i) requireAccess(device, facts()[i], i);
    });
    GpuOffer mine{};
    together(control, deadline, [&] {
      allocate(bytes, fills);
      mine.pointer = own_->data();
      // Not every system has inter-process handles; threads of one process do without.
      mine.hasHandle = cudaIpcGetMemHandle(&mine.handle, own_->data()) == cudaSuccess;
      (void)cudaGetLastError();
    });
    const std::vector<GpuOffer> offers = gatherStructs(control, mine, deadline);
    together(control, deadline, [&] { mapPeers(offers, static_cast<std::size_t>(control.rank())); });
  }

  ~GpuMemory() override {
    if (abandoned()) {
      own_->abandon();
      for (Mapping& mapping : opened_) mapping.release();
      return;
    }
    try {
      const device::cuda::DeviceGuard guard(device());
      opened_.clear();
      own_.reset();
    } catch (const Error&) {
      // The device is lost, and its memory with it.
    }
  }

 private:
  void allocate(std::size_t bytes, const std::vector<MemoryFill>& fills) {
    own_.emplace(bytes);
    device::cuda::Stream stream;
    std::size_t filled = 0;
    for (const MemoryFill& fill : fills) {
      device::cuda::fillAsync(own_->data() + filled, fill.value, fill.bytes, stream.handle());
      filled += fill.bytes;
    }
    stream.synchronize();
  }

  void mapPeers(const std::vector<GpuOffer>& offers, std::size_t rank) {
    for (std::size_t i = 0; i < offers.size(); ++i) {
      if (facts()[i].process == facts()[rank].process) {
        arenas_.push_back(offers[i].pointer);
        continue;
      }
      if (!offers[i].hasHandle) {
        fail(qcclInvalidUsage, "the GPU memory of rank ", i, " cannot be shared between processes on this system");
      }
      arenas_.push_back(opened_.emplace_back(offers[i].handle).data());
    }
  }

  std::optional<device::cuda::DeviceBuffer> own_;
  std::vector<Mapping> opened_;  // of other processes
};

}  // namespace

std::unique_ptr<PeerMemory> shareGpuMemory(Control& control, const std::vector<int>& hosts, int device, std::size_t bytes,
                                           const std::vector<MemoryFill>& fills, Deadline deadline) {
  return std::make_unique<GpuMemory>(control, hosts, device, bytes, fills, deadline);
}

}  // namespace qccl::transport
