// Where the calls in a rank's graphs stand on the device. Of a graph's replays the host knows nothing, so the device counts.
#pragma once

#include <cstdint>

#include "device/stream_handle.hpp"

namespace qccl::collectives::cuda {

// Page-locked host memory that the device writes, for a thread of the host that must not ask CUDA.
struct GraphMarks {
  std::uint32_t begun;  // how many calls have begun,
  std::uint32_t ended;  // how many of them have ended,
  std::uint32_t call;   // and which call it was that begun last
};

// Enqueue what marks the begin and the end of call `which`, in a graph that is being captured.
void markGraphBegin(GraphMarks* marks, std::uint32_t which, device::StreamHandle stream);
void markGraphEnd(GraphMarks* marks, device::StreamHandle stream);

}  // namespace qccl::collectives::cuda
