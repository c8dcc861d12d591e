// Where the calls of a rank stand on the device, of those that are not in graphs: by events, which take no time there, and a thread that
// asks CUDA for them. Whoever asks CUDA may have to wait, while the program waits inside CUDA for a queue that is full; so the answers are
// left here for those who must not wait, and since when one is outstanding.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "device/stream_handle.hpp"

struct CUevent_st;

namespace qccl::collectives::cuda {

class CallProbe {
 public:
  using Clock = std::chrono::steady_clock;

  // Of the current device.
  CallProbe();
  ~CallProbe();
  CallProbe(const CallProbe&) = delete;
  CallProbe& operator=(const CallProbe&) = delete;

  // Around what enqueues call `number`, each one more than the last, on `stream`. cancel() instead of end(): it could not be enqueued.
  void begin(std::uint32_t number, device::StreamHandle stream);
  void end(device::StreamHandle stream);
  void cancel();

  struct State {
    std::uint32_t begun = 0;                 // number of the last call that is known to have begun,
    std::uint32_t ended = 0;                 // and of the last that has ended
    std::optional<Clock::time_point> asked;  // since when CUDA has not answered
    std::string error;                       // of CUDA's, the first one
  };
  State state() const;

 private:
  struct Marked {
    std::uint32_t number;
    CUevent_st* begun;
    CUevent_st* ended;
  };

  CUevent_st* takeEvent();
  void ask();
  void askFor(const Marked& call, std::unique_lock<std::mutex>& lock);

  const int device_;
  std::optional<Marked> enqueued_;  // between begin() and end()

  mutable std::mutex mutex_;  // for all below
  std::condition_variable closing_;
  bool ended_ = false;
  std::deque<Marked> calls_;  // on their way, in order
  std::vector<CUevent_st*> free_;
  State state_;
  std::thread thread_;
};

}  // namespace qccl::collectives::cuda
