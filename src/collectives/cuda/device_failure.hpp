// What the running kernels of a rank and the rest of the communicator tell each other: a kernel that gave up makes the communicator fail on
// every rank, and a communicator that failed ends the kernels that wait.
#pragma once

#include <atomic>
#include <thread>

#include "collectives/cuda/arena.hpp"
#include "collectives/device_calls.hpp"

namespace qccl::collectives::cuda {

class DeviceFailureWatch {
 public:
  // Of the current device. `control` must outlive it.
  DeviceFailureWatch(transport::Control& control, const DeviceCallOptions& options);
  ~DeviceFailureWatch();
  DeviceFailureWatch(const DeviceFailureWatch&) = delete;
  DeviceFailureWatch& operator=(const DeviceFailureWatch&) = delete;

  // In memory of the host that the device reads and writes.
  HostWords* words() const { return words_; }

  // Ends every kernel that waits. From any thread.
  void abort();

 private:
  void watch();
  void report() const;

  transport::Control& control_;
  const DeviceCallOptions options_;
  HostWords* words_ = nullptr;
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace qccl::collectives::cuda
