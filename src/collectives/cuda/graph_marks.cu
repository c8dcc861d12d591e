#include <vector>

#include "collectives/cuda/graph_marks.hpp"
#include "device/cuda/check.cuh"

namespace qccl::collectives::cuda {
namespace {

// The call waits for this: one reading of the host's memory, and no fence. The host asks which call it was only when that has taken long.
__global__ void writeBegin(volatile GraphMarks* marks, std::uint32_t which) {
  const std::uint32_t number = marks->begun + 1;
  marks->call = which;
  marks->numbers[which % GraphMarks::kCalls] = number;
  marks->begun = number;
}

// May come when later calls have begun: it is about its own.
__global__ void writeEnd(volatile GraphMarks* marks, std::uint32_t which) {
  const std::uint32_t number = marks->numbers[which % GraphMarks::kCalls];
  if (static_cast<std::int32_t>(number - marks->ended) > 0) marks->ended = number;
}

// A capture, and what its stream has come to.
struct Captured {
  unsigned long long capture = 0;  // NOLINT(google-runtime-int)
  cudaGraph_t graph = nullptr;
  std::vector<cudaGraphNode_t> nodes;

  explicit Captured(device::StreamHandle stream) {
    cudaStreamCaptureStatus status;
    const cudaGraphNode_t* first = nullptr;
    std::size_t count = 0;
#if CUDART_VERSION >= 12030
    const cudaGraphEdgeData* edges = nullptr;  // asked for because the rest is refused without, if there are any
#if CUDART_VERSION >= 13000
    QCCL_CUDA_CHECK(cudaStreamGetCaptureInfo(stream, &status, &capture, &graph, &first, &edges, &count));
#else
    QCCL_CUDA_CHECK(cudaStreamGetCaptureInfo_v3(stream, &status, &capture, &graph, &first, &edges, &count));
#endif
#else
    QCCL_CUDA_CHECK(cudaStreamGetCaptureInfo_v2(stream, &status, &capture, &graph, &first, &count));
#endif
    QCCL_CUDA_CHECK(status == cudaStreamCaptureStatusActive ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
    nodes.assign(first, first + count);
  }
};

}  // namespace

void GraphMarker::begin(std::uint32_t which, device::StreamHandle stream) {
  writeBegin<<<1, 1, 0, stream>>>(marks_, which);
  QCCL_CUDA_CHECK(cudaGetLastError());
}

void GraphMarker::end(std::uint32_t which, device::StreamHandle stream) {
  Captured captured(stream);
  if (lastEnd_ != nullptr && captured.capture == capture_) captured.nodes.push_back(lastEnd_);
  GraphMarks* marks = marks_;
  void* arguments[] = {&marks, &which};
  cudaKernelNodeParams parameters = {};
  parameters.func = reinterpret_cast<void*>(writeEnd);
  parameters.gridDim = dim3(1);
  parameters.blockDim = dim3(1);
  parameters.kernelParams = arguments;
  cudaGraphNode_t end = nullptr;
  QCCL_CUDA_CHECK(cudaGraphAddKernelNode(&end, captured.graph, captured.nodes.data(), captured.nodes.size(), &parameters));
  capture_ = captured.capture;
  lastEnd_ = end;
}

}  // namespace qccl::collectives::cuda
