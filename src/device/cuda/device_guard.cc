#include "device/cuda/device_guard.hpp"

#include "device/cuda/check.cuh"

namespace qccl::device::cuda {

DeviceGuard::DeviceGuard(int device) : captureMode_(cudaStreamCaptureModeRelaxed) {
  QCCL_CUDA_CHECK(cudaGetDevice(&before_));
  if (before_ != device) QCCL_CUDA_CHECK(cudaSetDevice(device));
  auto mode = cudaStreamCaptureModeRelaxed;
  QCCL_CUDA_CHECK(cudaThreadExchangeStreamCaptureMode(&mode));
  captureMode_ = mode;
}

DeviceGuard::~DeviceGuard() {
  auto mode = static_cast<cudaStreamCaptureMode>(captureMode_);
  (void)cudaThreadExchangeStreamCaptureMode(&mode);
  (void)cudaSetDevice(before_);
}

}  // namespace qccl::device::cuda
