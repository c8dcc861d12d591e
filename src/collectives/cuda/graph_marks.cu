#include <vector>

#include "collectives/cuda/graph_marks.hpp"
#include "device/cuda/check.cuh"

namespace qccl::collectives::cuda {
namespace {

__global__ void writeBegin(volatile GraphMarks* marks, std::uint32_t which) {
  marks->call = which;
  __threadfence_system();
  marks->begun = marks->begun + 1;
}

__global__ void writeEnd(volatile GraphMarks* marks) { marks->ended = marks->begun; }

}  // namespace

void GraphMarker::begin(std::uint32_t which, device::StreamHandle stream) {
  GraphMarks* marks = marks_;
  void* arguments[] = {&marks, &which};
  add(reinterpret_cast<const void*>(writeBegin), arguments, stream);
}

void GraphMarker::end(device::StreamHandle stream) {
  GraphMarks* marks = marks_;
  void* arguments[] = {&marks};
  add(reinterpret_cast<const void*>(writeEnd), arguments, stream);
}

void GraphMarker::add(const void* kernel, void** arguments, device::StreamHandle stream) {
#if CUDART_VERSION >= 13000
  constexpr auto captureOf = cudaStreamGetCaptureInfo;
#else
  constexpr auto captureOf = cudaStreamGetCaptureInfo_v3;
#endif
  cudaStreamCaptureStatus status;
  unsigned long long capture = 0;  // NOLINT(google-runtime-int)
  cudaGraph_t graph = nullptr;
  const cudaGraphNode_t* captured = nullptr;
  const cudaGraphEdgeData* edges = nullptr;  // asked for because the rest is refused without, if there are any
  std::size_t count = 0;
  QCCL_CUDA_CHECK(captureOf(stream, &status, &capture, &graph, &captured, &edges, &count));
  QCCL_CUDA_CHECK(status == cudaStreamCaptureStatusActive ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
  std::vector<cudaGraphNode_t> before(captured, captured + count);
  if (last_ != nullptr && capture == capture_) before.push_back(last_);
  cudaKernelNodeParams parameters = {};
  parameters.func = const_cast<void*>(kernel);
  parameters.gridDim = dim3(1);
  parameters.blockDim = dim3(1);
  parameters.kernelParams = arguments;
  QCCL_CUDA_CHECK(cudaGraphAddKernelNode(&last_, graph, before.data(), before.size(), &parameters));
  capture_ = capture;
}

}  // namespace qccl::collectives::cuda
