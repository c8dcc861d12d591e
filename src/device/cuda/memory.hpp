// Memory of the current CUDA device.
#pragma once

#include <cstddef>

#include "device/stream_handle.hpp"

namespace qccl::device::cuda {

// Owns `bytes` of the device that is current when it is made; their contents are undefined. Aligned to 256 bytes. Must outlive all work on
// it that was given to streams. data() is nullptr if bytes is 0. Throws Error(qcclUnhandledCudaError).
class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t bytes);
  ~DeviceBuffer();
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;

  unsigned char* data() { return data_; }
  const unsigned char* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

  // Leaves the memory allocated, for ever.
  void abandon() { data_ = nullptr; }

 private:
  unsigned char* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Copies between any two places that the device knows. Ordered on the stream; returns at once between devices and page-locked memory, and
// after the copy where one side is ordinary host memory.
void copyAsync(void* to, const void* from, std::size_t bytes, StreamHandle stream);

// Sets every byte to `value`, ordered on the stream; returns at once.
void fillAsync(void* to, unsigned char value, std::size_t bytes, StreamHandle stream);

}  // namespace qccl::device::cuda
