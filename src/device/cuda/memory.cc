#include "device/cuda/memory.hpp"

#include <utility>

#include "device/cuda/check.cuh"

namespace qccl::device::cuda {

DeviceBuffer::DeviceBuffer(std::size_t bytes) : bytes_(bytes) {
  void* data = nullptr;
  if (bytes > 0) QCCL_CUDA_CHECK(cudaMalloc(&data, bytes));
  data_ = static_cast<unsigned char*>(data);
}

// An error here is one of earlier work; whoever waits for that work reports it.
DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) (void)cudaFree(data_);
}

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void copyAsync(void* to, const void* from, std::size_t bytes, StreamHandle stream) {
  QCCL_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream));
}

void fillAsync(void* to, unsigned char value, std::size_t bytes, StreamHandle stream) {
  QCCL_CUDA_CHECK(cudaMemsetAsync(to, value, bytes, stream));
}

}  // namespace qccl::device::cuda
