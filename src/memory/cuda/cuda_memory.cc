#include <cuda_runtime_api.h>

#include <algorithm>
#include <vector>

#include "core/error.hpp"
#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"
#include "device/cuda/devices.hpp"
#include "device/cuda/stream.hpp"
#include "memory/memory_space.hpp"

namespace qccl::memory {
namespace {

using device::cuda::DeviceGuard;

class CudaMemory final : public MemorySpace {
 public:
  explicit CudaMemory(int device) : device_(device), fence_(device) {}

  std::string name() const override { return strCat("the memory of GPU ", device_); }

  std::optional<std::size_t> freeBytes() const override {
    const DeviceGuard guard(device_);
    std::size_t free = 0, total = 0;
    QCCL_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    return free;
  }

  // The runtime is asked once for each stream: a pool sees few of them, and often.
  std::string refusalOf(StreamHandle stream) override {
    if (stream == nullptr || std::find(checked_.begin(), checked_.end(), stream) != checked_.end()) return {};
    int device = -1;
    QCCL_CUDA_CHECK(cudaStreamGetDevice(stream, &device));
    if (device != device_) return strCat("the stream is one of GPU ", device, ", the pool is in ", name(), "; pass a stream of that GPU");
    checked_.push_back(stream);
    return {};
  }

  void order(StreamHandle earlier, StreamHandle later) override {
    const DeviceGuard guard(device_);
    fence_.order(earlier, later);
  }

 private:
  void* do_allocate(std::size_t bytes, std::size_t) override {
    const DeviceGuard guard(device_);
    void* data = nullptr;
    QCCL_CUDA_CHECK(cudaMalloc(&data, bytes));
    return data;
  }

  // cudaFree waits for work on the memory. An error here is one of earlier work; whoever waits for that work reports it.
  void do_deallocate(void* data, std::size_t, std::size_t) override {
    const DeviceGuard guard(device_);
    (void)cudaFree(data);
  }

  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  int device_;
  device::cuda::StreamFence fence_;
  std::vector<StreamHandle> checked_;
};

}  // namespace

std::unique_ptr<MemorySpace> cudaMemory(int device) {
  const int count = device::cuda::deviceCount();
  if (device < 0 || device >= count) {
    const std::string reason = count == 0 ? device::cuda::whyNoDevice() : strCat("there are GPUs 0 to ", count - 1);
    fail(qcclInvalidArgument, "no pool in the memory of GPU ", device, ": ", reason);
  }
  return std::make_unique<CudaMemory>(device);
}

}  // namespace qccl::memory
