// Streams and events of the current CUDA device.
#pragma once

#include "device/stream_handle.hpp"

struct CUevent_st;

namespace qccl::device::cuda {

// A stream that does not wait for the default stream. The destructor does not wait: work that was given to it still ends.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  StreamHandle handle() const { return stream_; }
  // Waits for everything given to the stream so far. Throws Error(qcclUnhandledCudaError) with the error of that work, if any.
  void synchronize();

 private:
  StreamHandle stream_ = nullptr;
};

// A point in a stream, with the time at which the device came to it.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(StreamHandle stream);
  // Waits for this event, then gives the seconds since `start`. Both must have been recorded.
  double secondsSince(const Event& start) const;

 private:
  CUevent_st* event_ = nullptr;
};

// Whether all before an event that was recorded has been done. That it has not is no error afterwards either: the runtime would report "not
// ready" to whoever next asks this thread for its last error.
bool isReached(CUevent_st* event);

// Puts streams of one device in an order.
class StreamFence {
 public:
  explicit StreamFence(int device);
  ~StreamFence();
  StreamFence(const StreamFence&) = delete;
  StreamFence& operator=(const StreamFence&) = delete;

  // Work given to `later` from now on begins after all work given to `earlier` so far. Returns at once. The fence's device must be
  // current.
  void order(StreamHandle earlier, StreamHandle later);

 private:
  CUevent_st* event_ = nullptr;
};

}  // namespace qccl::device::cuda
