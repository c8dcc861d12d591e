#include <cuda.h>

#include "collectives/cuda/call_marks.hpp"
#include "device/cuda/check.cuh"

namespace qccl::collectives::cuda {
namespace {

using device::StreamHandle;

__global__ void writeWord(volatile std::uint32_t* word, std::uint32_t value) { *word = value; }

__global__ void writeGraphBegin(volatile CallMarks* marks, std::uint32_t which) {
  marks->graphCall = which;
  __threadfence_system();
  marks->graphBegun = marks->graphBegun + 1;
}

__global__ void writeGraphEnd(volatile CallMarks* marks) { marks->graphEnded = marks->graphBegun; }

using WriteValue = CUresult (*)(CUstream, CUdeviceptr, cuuint32_t, unsigned);

// A write by the stream itself takes less time than a kernel. The driver's function, which the runtime does not have.
WriteValue findWriteValue() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  const cudaError_t error = cudaGetDriverEntryPointByVersion("cuStreamWriteValue32", &function, 11070, cudaEnableDefault, &found);
#else
  const cudaError_t error = cudaGetDriverEntryPoint("cuStreamWriteValue32", &function, cudaEnableDefault, &found);
#endif
  if (error == cudaSuccess && found == cudaDriverEntryPointSuccess) return reinterpret_cast<WriteValue>(function);
  (void)cudaGetLastError();
  return nullptr;
}

void write(std::uint32_t* word, std::uint32_t value, StreamHandle stream) {
  static const WriteValue writeValue = findWriteValue();
  if (writeValue != nullptr && writeValue(stream, reinterpret_cast<CUdeviceptr>(word), value, 0) == CUDA_SUCCESS) return;
  writeWord<<<1, 1, 0, stream>>>(word, value);
  QCCL_CUDA_CHECK(cudaGetLastError());
}

}  // namespace

void markBegin(CallMarks* marks, std::uint32_t number, StreamHandle stream) { write(&marks->begun, number, stream); }

void markEnd(CallMarks* marks, std::uint32_t number, StreamHandle stream) { write(&marks->ended, number, stream); }

void markGraphBegin(CallMarks* marks, std::uint32_t which, StreamHandle stream) {
  writeGraphBegin<<<1, 1, 0, stream>>>(marks, which);
  QCCL_CUDA_CHECK(cudaGetLastError());
}

void markGraphEnd(CallMarks* marks, StreamHandle stream) {
  writeGraphEnd<<<1, 1, 0, stream>>>(marks);
  QCCL_CUDA_CHECK(cudaGetLastError());
}

}  // namespace qccl::collectives::cuda
