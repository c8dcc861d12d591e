#include <cuda_runtime_api.h>

#include "device/cuda/check.cuh"
#include "device/cuda/stream.hpp"
#include "memory/allocators.hpp"

namespace qccl::memory {
namespace {

class CudaAsyncAllocator final : public Allocator {
 public:
  explicit CudaAsyncAllocator(int device) {
    QCCL_CUDA_CHECK(cudaSetDevice(device));
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location = {cudaMemLocationTypeDevice, {device}};
    QCCL_CUDA_CHECK(cudaMemPoolCreate(&pool_, &properties));
    std::uint64_t keepAll = UINT64_MAX;  // as frameworks set it: nothing goes back to the system between steps
    QCCL_CUDA_CHECK(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keepAll));
  }
  ~CudaAsyncAllocator() override { (void)cudaMemPoolDestroy(pool_); }

  void* allocate(std::size_t bytes, StreamHandle stream) override {
    void* memory = nullptr;
    QCCL_CUDA_CHECK(cudaMallocFromPoolAsync(&memory, bytes, pool_, stream));
    return memory;
  }
  void free(void* memory, std::size_t, StreamHandle stream) override { QCCL_CUDA_CHECK(cudaFreeAsync(memory, stream)); }

  std::size_t reservedBytes() override {
    std::uint64_t bytes = 0;
    QCCL_CUDA_CHECK(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &bytes));
    return bytes;
  }

 private:
  cudaMemPool_t pool_ = nullptr;
};

class CudaStreams final : public GpuStreams {
 public:
  explicit CudaStreams(std::size_t count) : streams_(count) {
    for (auto& stream : streams_) stream = std::make_unique<device::cuda::Stream>();
  }
  std::vector<StreamHandle> handles() const override {
    std::vector<StreamHandle> handles;
    for (const auto& stream : streams_) handles.push_back(stream->handle());
    return handles;
  }
  void synchronize() override { QCCL_CUDA_CHECK(cudaDeviceSynchronize()); }

 private:
  std::vector<std::unique_ptr<device::cuda::Stream>> streams_;
};

}  // namespace

std::unique_ptr<Allocator> cudaAsyncAllocator(int device) { return std::make_unique<CudaAsyncAllocator>(device); }

std::unique_ptr<GpuStreams> gpuStreams(int device, std::size_t count) {
  QCCL_CUDA_CHECK(cudaSetDevice(device));
  return std::make_unique<CudaStreams>(count);
}

}  // namespace qccl::memory
