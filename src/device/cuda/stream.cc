#include "device/cuda/stream.hpp"

#include "device/cuda/check.cuh"

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

}  // namespace qccl::device::cuda
