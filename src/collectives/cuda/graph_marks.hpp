// Where the calls in a rank's graphs stand on the device. Of a graph's replays the host knows nothing, so the device counts.
#pragma once

#include <cstdint>

#include "device/stream_handle.hpp"

struct CUgraphNode_st;

namespace qccl::collectives::cuda {

// Page-locked host memory that the device writes, for a thread of the host that must not ask CUDA.
struct GraphMarks {
  std::uint32_t begun;  // how many calls have begun,
  std::uint32_t ended;  // how many of them have ended,
  std::uint32_t call;   // and which call it was that begun last
};

// Adds to graphs what keeps the marks of their calls. Only marks wait for a mark: as nodes of the stream's own they took 5 us a call.
class GraphMarker {
 public:
  explicit GraphMarker(GraphMarks* marks) : marks_(marks) {}

  // Around what captures call `which` on `stream`.
  void begin(std::uint32_t which, device::StreamHandle stream);
  void end(device::StreamHandle stream);

 private:
  // Behind all that the stream has captured, and behind the mark before.
  void add(const void* kernel, void** arguments, device::StreamHandle stream);

  GraphMarks* const marks_;
  unsigned long long capture_ = 0;  // NOLINT(google-runtime-int): CUDA's number of the capture that has the last mark
  CUgraphNode_st* last_ = nullptr;
};

}  // namespace qccl::collectives::cuda
