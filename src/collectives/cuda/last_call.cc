#include "collectives/cuda/last_call.hpp"

#include <chrono>
#include <thread>

#include "device/cuda/check.cuh"
#include "device/cuda/stream.hpp"

namespace qccl::collectives::cuda {

bool isCapturing(device::StreamHandle stream) {
  cudaStreamCaptureStatus status;
  QCCL_CUDA_CHECK(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

LastCall::LastCall() { QCCL_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming)); }

LastCall::~LastCall() { (void)cudaEventDestroy(event_); }

void LastCall::record(device::StreamHandle stream) {
  QCCL_CUDA_CHECK(cudaEventRecord(event_, stream));
  recorded_ = true;
  stream_ = stream;
}

void LastCall::orderBefore(device::StreamHandle stream) const {
  if (recorded_ && stream != stream_) QCCL_CUDA_CHECK(cudaStreamWaitEvent(stream, event_, 0));
}

bool LastCall::wait(Deadline deadline) const {
  while (recorded_ && !device::cuda::isReached(event_)) {
    if (deadline.passed()) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  return true;
}

}  // namespace qccl::collectives::cuda
