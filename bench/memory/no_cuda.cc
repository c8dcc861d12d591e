// Without CUDA there is nothing to compare with on a GPU.
#include "common/api.hpp"
#include "memory/allocators.hpp"

namespace qccl::memory {

std::unique_ptr<Allocator> cudaAsyncAllocator(int) { return nullptr; }

std::unique_ptr<GpuStreams> gpuStreams(int, std::size_t) { throw bench::ToolError("--memory cuda: this build has no CUDA"); }

}  // namespace qccl::memory
