// Which GPUs there are.
#pragma once

#include <cstddef>
#include <string>

namespace qccl::device::cuda {

// 0 where there is no driver or no GPU: a build with CUDA also runs there. Opens the driver on first use.
int deviceCount();

// Why deviceCount() is 0, as one sentence; "" if it is not.
std::string whyNoDevice();

struct DeviceInfo {
  std::string name;
  int multiprocessors = 0;
  std::size_t l2Bytes = 0;
};

// Throws Error(qcclUnhandledCudaError) if there is no such device.
DeviceInfo deviceInfo(int device);

}  // namespace qccl::device::cuda
