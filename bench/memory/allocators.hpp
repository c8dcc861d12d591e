// What pool-bench compares: allocators of plain memory on the streams of one device.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "memory/memory_space.hpp"

namespace qccl::memory {

class Allocator {
 public:
  virtual ~Allocator() = default;
  virtual void* allocate(std::size_t bytes, StreamHandle stream) = 0;
  virtual void free(void* memory, std::size_t bytes, StreamHandle stream) = 0;
  // Taken from the system now. Not necessarily cheap.
  virtual std::size_t reservedBytes() = 0;
};

std::unique_ptr<Allocator> bestFitAllocator(MemorySpace& space, std::size_t segmentBytes);
std::unique_ptr<Allocator> mallocAllocator();

// The rules of PyTorch's caching allocator, for comparison: sizes in steps of 512 bytes; up to 1 MiB from segments of 2 MiB, below 10 MiB
// from segments of 20 MiB, else from a segment of their own in steps of 2 MiB; the smallest free block that is large enough, split if what
// remains is useful (512 bytes of small ones, more than 1 MiB of large ones), joined with free neighbours when it is freed. Blocks belong
// to the stream that they were made for.
std::unique_ptr<Allocator> cachingAllocator(MemorySpace& space);

// cudaMallocAsync on a pool of its own that keeps what it has, as frameworks set it. nullptr in a build without CUDA.
std::unique_ptr<Allocator> cudaAsyncAllocator(int device);

// Streams of a GPU, and waiting for all its work. Without CUDA: refuses with ToolError.
class GpuStreams {
 public:
  virtual ~GpuStreams() = default;
  virtual std::vector<StreamHandle> handles() const = 0;
  virtual void synchronize() = 0;
};
std::unique_ptr<GpuStreams> gpuStreams(int device, std::size_t count);

}  // namespace qccl::memory
