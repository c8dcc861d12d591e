// The current device of this thread.
#pragma once

namespace qccl::device::cuda {

// Makes `device` current, and lets this thread allocate while any stream of the process is being captured, until the end of the scope.
// Throws Error(qcclUnhandledCudaError).
class DeviceGuard {
 public:
  explicit DeviceGuard(int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = 0;
  int captureMode_;
};

}  // namespace qccl::device::cuda
