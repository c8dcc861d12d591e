// Where the calls of a rank stand on the device, for a thread of the host that must not ask CUDA: while a program waits inside CUDA for a
// queue that is full, so may all who ask.
#pragma once

#include <cstdint>

#include "device/stream_handle.hpp"

namespace qccl::collectives::cuda {

// Page-locked host memory that the device writes.
struct CallMarks {
  // The numbers of the last calls that have begun and ended, of those that are not in graphs.
  std::uint32_t begun;
  std::uint32_t ended;
  // Of a graph's replays the host knows nothing, so they are counted: how many calls in graphs have begun, how many of them have ended, and
  // which call it was that begun last.
  std::uint32_t graphBegun;
  std::uint32_t graphEnded;
  std::uint32_t graphCall;
};

// Enqueue what marks the begin and the end of call `number`, which is not in a graph.
void markBegin(CallMarks* marks, std::uint32_t number, device::StreamHandle stream);
void markEnd(CallMarks* marks, std::uint32_t number, device::StreamHandle stream);

// The same for call `which` in a graph that is being captured.
void markGraphBegin(CallMarks* marks, std::uint32_t which, device::StreamHandle stream);
void markGraphEnd(CallMarks* marks, device::StreamHandle stream);

}  // namespace qccl::collectives::cuda
