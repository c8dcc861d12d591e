#include "device/cuda/stream.hpp"

#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"

namespace qccl::device::cuda {

Stream::Stream() { QCCL_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }

Stream::~Stream() { (void)cudaStreamDestroy(stream_); }

void Stream::synchronize() { QCCL_CUDA_CHECK(cudaStreamSynchronize(stream_)); }

Event::Event() { QCCL_CUDA_CHECK(cudaEventCreate(&event_)); }

Event::~Event() { (void)cudaEventDestroy(event_); }

void Event::record(StreamHandle stream) { QCCL_CUDA_CHECK(cudaEventRecord(event_, stream)); }

double Event::secondsSince(const Event& start) const {
  float milliseconds = 0;
  QCCL_CUDA_CHECK(cudaEventSynchronize(event_));
  QCCL_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start.event_, event_));
  return static_cast<double>(milliseconds) * 1e-3;
}

bool isReached(CUevent_st* event) {
  const cudaError_t status = cudaEventQuery(event);
  if (status == cudaErrorNotReady) {
    (void)cudaGetLastError();
    return false;
  }
  QCCL_CUDA_CHECK(status);
  return true;
}

StreamFence::StreamFence(int device) {
  const DeviceGuard guard(device);
  QCCL_CUDA_CHECK(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
}

StreamFence::~StreamFence() { (void)cudaEventDestroy(event_); }

// A wait is for what was recorded when it was made, so that one event serves all pairs of streams.
void StreamFence::order(StreamHandle earlier, StreamHandle later) {
  QCCL_CUDA_CHECK(cudaEventRecord(event_, earlier));
  QCCL_CUDA_CHECK(cudaStreamWaitEvent(later, event_, 0));
}

}  // namespace qccl::device::cuda
