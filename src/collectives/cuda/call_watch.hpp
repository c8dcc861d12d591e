// Watches calls that wait on the device without a bound of their own (NCCL's kernels wait for ever for a rank that does not come): a call
// that takes too long makes the communicator fail on every rank, and a communicator that failed ends the calls.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "collectives/cuda/call_probe.hpp"
#include "collectives/cuda/graph_marks.hpp"
#include "collectives/cuda/last_call.hpp"
#include "collectives/device_calls.hpp"
#include "core/deadline.hpp"

namespace qccl::collectives::cuda {

class CallWatch {
 public:
  // Of the current device. abort() ends all calls of this rank and returns at once; failure() says what the carrier itself found wrong, ""
  // if nothing. Both are called from a thread of the watch. `control` must outlive it.
  CallWatch(transport::Control& control, const DeviceCallOptions& options, std::function<void()> abort,
            std::function<std::string()> failure);
  ~CallWatch();
  CallWatch(const CallWatch&) = delete;
  CallWatch& operator=(const CallWatch&) = delete;

  // Around what enqueues a call on `stream`, by one thread at a time. what.sequence is the call's number, each one more than the last. A
  // call that is not captured waits on the device for those before it on other streams. Its time runs from when the device comes to
  // it, or from when CUDA stops to answer whether it has.
  void begin(const Announcement& what, device::StreamHandle stream, bool captured);
  void end(device::StreamHandle stream);
  void cancel();  // instead of end(): it could not be enqueued

  // For the marks in graphs, between begin() and end() of a captured call.
  GraphMarker& marker() { return *marker_; }
  std::uint32_t captured() const { return static_cast<std::uint32_t>(captured_.size()) - 1; }  // number of the call that is captured

  // What is enqueued on `stream` from now on waits for the calls so far that are not in graphs. Not for a stream that is captured.
  void orderAfter(device::StreamHandle stream);

  // Waits for all calls; false if they have not ended before the deadline.
  bool waitForCalls(Deadline deadline);

 private:
  using Clock = CallProbe::Clock;

  void watch();
  std::optional<transport::Failure> findFailure();
  std::optional<transport::Failure> findLate(const CallProbe::State& state);
  std::optional<transport::Failure> findLateGraph();
  transport::Failure late(const Announcement& what) const;
  bool isLate(const std::optional<Clock::time_point>& since) const { return since && Clock::now() - *since > options_.timeout; }

  transport::Control& control_;
  const DeviceCallOptions options_;
  const std::function<void()> abort_;
  const std::function<std::string()> failure_;
  GraphMarks* marks_ = nullptr;
  CallProbe probe_;

  // Of the thread that makes calls:
  LastCall last_;
  std::optional<GraphMarker> marker_;

  // No call of CUDA is made with this: such a call may wait for what the watch has to end.
  std::mutex mutex_;  // for all below
  std::condition_variable changed_;
  bool ended_ = false;
  std::optional<Clock::time_point> inside_;  // since when a call is being enqueued
  Announcement insideOf_{};
  bool insideGraph_ = false;
  std::deque<Announcement> calls_;          // on their way, in order
  std::optional<Clock::time_point> since_;  // when the first of them was first seen to have begun
  std::vector<Announcement> captured_;
  std::uint32_t graphBegun_ = 0;
  std::optional<Clock::time_point> graphSince_;  // when the graphs' call number graphBegun_ was first seen to run
  std::thread thread_;
};

}  // namespace qccl::collectives::cuda
