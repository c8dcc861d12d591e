// Where the calls in a rank's graphs stand on the device. Of a graph's replays the host knows nothing, so the device counts.
#pragma once

#include <cstdint>

#include "device/cuda/memory.hpp"
#include "device/stream_handle.hpp"

struct CUgraphNode_st;

namespace qccl::collectives::cuda {

// Page-locked host memory that the device only writes: to read it would take it a microsecond. For a thread of the host that must not ask
// CUDA.
struct GraphMarks {
  struct alignas(8) Begin {  // written at once
    std::uint32_t number;    // how many calls have begun
    std::uint32_t call;      // which call the last of them was
  };
  Begin begun;
  std::uint32_t ended;  // the number of the last of them that has ended
};

// Adds to graphs what keeps the marks of their calls.
class GraphMarker {
 public:
  // Of the current device. `marks` are all 0 and outlive it.
  explicit GraphMarker(GraphMarks* marks);

  // Around what captures call `which` on `stream`. The call waits for the mark of its begin: beside it that could come too late to tell of
  // a call that never ends. For the other mark only the next of its kind waits.
  void begin(std::uint32_t which, device::StreamHandle stream);
  void end(std::uint32_t which, device::StreamHandle stream);

  // When graphs may still run: leaves their memory allocated, for ever.
  void abandon() { numbers_.abandon(); }

 private:
  GraphMarks* const marks_;
  device::cuda::DeviceBuffer numbers_;
  unsigned long long capture_ = 0;     // NOLINT(google-runtime-int): CUDA's number of the capture with the last mark of an end,
  CUgraphNode_st* lastEnd_ = nullptr;  // and that
};

}  // namespace qccl::collectives::cuda
