// Where the calls in a rank's graphs stand on the device. Of a graph's replays the host knows nothing, so the device counts.
#pragma once

#include <cstdint>

#include "device/stream_handle.hpp"

struct CUgraphNode_st;

namespace qccl::collectives::cuda {

// Page-locked host memory that the device writes, for a thread of the host that must not ask CUDA.
struct GraphMarks {
  static constexpr std::uint32_t kCalls = 256;

  std::uint32_t begun;            // how many calls have begun
  std::uint32_t ended;            // the last of them that has ended, counted from 1
  std::uint32_t call;             // which call it was that begun last
  std::uint32_t numbers[kCalls];  // by call, in turn: what `begun` was then
};

// Adds to graphs what keeps the marks of their calls.
class GraphMarker {
 public:
  explicit GraphMarker(GraphMarks* marks) : marks_(marks) {}

  // Around what captures call `which` on `stream`. The call waits for the mark of its begin: beside it that could come too late to tell of
  // a call that never ends. For the other mark only the next of its kind waits.
  void begin(std::uint32_t which, device::StreamHandle stream);
  void end(std::uint32_t which, device::StreamHandle stream);

 private:
  GraphMarks* const marks_;
  unsigned long long capture_ = 0;     // NOLINT(google-runtime-int): CUDA's number of the capture with the last mark of an end,
  CUgraphNode_st* lastEnd_ = nullptr;  // and that
};

}  // namespace qccl::collectives::cuda
