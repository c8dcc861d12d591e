#include "device/cuda/devices.hpp"

#include "core/error.hpp"
#include "device/cuda/check.cuh"

namespace qccl::device::cuda {

int deviceCount() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  (void)cudaGetLastError();
  return 0;
}

std::string whyNoDevice() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess) return count == 0 ? "this machine has no CUDA device" : "";
  (void)cudaGetLastError();
  return strCat("this machine has no CUDA device that can be used: ", cudaGetErrorString(error));
}

DeviceInfo deviceInfo(int device) {
  cudaDeviceProp properties;
  QCCL_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  return {properties.name, properties.multiProcessorCount, static_cast<std::size_t>(properties.l2CacheSize)};
}

}  // namespace qccl::device::cuda
