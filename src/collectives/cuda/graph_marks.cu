#include <vector>

#include "collectives/cuda/graph_marks.hpp"
#include "device/cuda/check.cuh"
#include "device/cuda/stream.hpp"

namespace qccl::collectives::cuda {
namespace {

// The device's own count, of calls whose marks are ordered one behind the other.
struct Numbers {
  static constexpr std::uint32_t kCalls = 256;

  std::uint32_t begun;
  std::uint32_t ended;
  std::uint32_t calls[kCalls];  // by call, in turn: the number of the last time that it began
};

// The call waits for this: no reading of the host's memory, and no fence.
__global__ void writeBegin(volatile GraphMarks* marks, Numbers* numbers, std::uint32_t which) {
  const std::uint32_t number = ++numbers->begun;
  numbers->calls[which % Numbers::kCalls] = number;
  *reinterpret_cast<volatile std::uint64_t*>(&marks->begun) = number | static_cast<std::uint64_t>(which) << 32;
}

// May come when later calls have begun: it is about its own.
__global__ void writeEnd(volatile GraphMarks* marks, Numbers* numbers, std::uint32_t which) {
  const std::uint32_t number = numbers->calls[which % Numbers::kCalls];
  if (static_cast<std::int32_t>(number - numbers->ended) > 0) marks->ended = numbers->ended = number;
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

GraphMarker::GraphMarker(GraphMarks* marks) : marks_(marks), numbers_(sizeof(Numbers)) {
  device::cuda::Stream stream;
  device::cuda::fillAsync(numbers_.data(), 0, numbers_.bytes(), stream.handle());
  stream.synchronize();
}

void GraphMarker::begin(std::uint32_t which, device::StreamHandle stream) {
  writeBegin<<<1, 1, 0, stream>>>(marks_, reinterpret_cast<Numbers*>(numbers_.data()), which);
  QCCL_CUDA_CHECK(cudaGetLastError());
}

void GraphMarker::end(std::uint32_t which, device::StreamHandle stream) {
  Captured captured(stream);
  if (lastEnd_ != nullptr && captured.capture == capture_) captured.nodes.push_back(lastEnd_);
  GraphMarks* marks = marks_;
  auto* numbers = reinterpret_cast<Numbers*>(numbers_.data());
  void* arguments[] = {&marks, &numbers, &which};
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
