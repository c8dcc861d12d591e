// The last call of a communicator that was not captured, as an event on its stream: what later calls on other streams wait for, and what is
// waited for at the end.
#pragma once

#include "core/deadline.hpp"
#include "device/stream_handle.hpp"

struct CUevent_st;

namespace qccl::collectives::cuda {

// Whether what is enqueued on `stream` becomes part of a graph.
bool isCapturing(device::StreamHandle stream);

class LastCall {
 public:
  // On the current GPU.
  LastCall();
  ~LastCall();
  LastCall(const LastCall&) = delete;
  LastCall& operator=(const LastCall&) = delete;

  // All that is enqueued on `stream` so far.
  void record(device::StreamHandle stream);

  // What is enqueued on `stream`, which is not captured, from now on waits for the last call.
  void orderBefore(device::StreamHandle stream) const;

  // False if it has not ended before the deadline. Polls: a wait inside the runtime would have no end if a kernel has none.
  bool wait(Deadline deadline) const;

 private:
  CUevent_st* event_ = nullptr;
  bool recorded_ = false;
  device::StreamHandle stream_ = nullptr;
};

}  // namespace qccl::collectives::cuda
