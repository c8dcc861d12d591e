// Where a pool's memory comes from, and how work on it is ordered. The memory is a std::pmr::memory_resource, so that host pools can stand
// on any of the standard's; what a space adds is the order of streams, which host memory does not need.
#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <optional>
#include <string>

#include "core/error.hpp"
#include "device/stream_handle.hpp"

namespace qccl::memory {

using device::StreamHandle;

// What every place in a pool is aligned to: what cudaMalloc gives, and enough for any vector access and any bulk copy.
inline constexpr std::size_t kPlaceAlign = 256;

// Not for several threads at once.
class MemorySpace : public std::pmr::memory_resource {
 public:
  // "host memory", "the memory of GPU 0": for sentences.
  virtual std::string name() const = 0;

  // What an allocation could get now; nothing where that cannot be known.
  virtual std::optional<std::size_t> freeBytes() const = 0;

  // Why no work on this memory can be given to `stream`, as the end of a sentence; empty if it can.
  virtual std::string refusalOf(StreamHandle stream) = 0;

  // Work given to `later` from now on begins after all work given to `earlier` so far. Returns at once.
  virtual void order(StreamHandle earlier, StreamHandle later) = 0;
};

// Throws Error(qcclInvalidArgument) if no work on memory of `space` can be given to `stream`. subject() begins the sentence; it is called
// only then, since calls on pools are too short for making text.
template <typename Subject>
void requireStream(MemorySpace& space, StreamHandle stream, Subject subject) {
  const std::string refusal = space.refusalOf(stream);
  if (!refusal.empty()) fail(qcclInvalidArgument, subject(), ": ", refusal);
}

// Memory of `upstream`, which must outlive the space. There are no streams: work on it is done when it is done.
std::unique_ptr<MemorySpace> hostMemory(std::pmr::memory_resource* upstream = std::pmr::new_delete_resource());

// Memory of a GPU. Throws Error(qcclInvalidArgument) where there is none, with the reason.
std::unique_ptr<MemorySpace> cudaMemory(int device);

}  // namespace qccl::memory
