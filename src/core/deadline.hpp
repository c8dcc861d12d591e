// A point in time by which a wait must have ended. Every wait in qccl takes one.
#pragma once

#include <algorithm>
#include <chrono>

namespace qccl {

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  static Deadline in(std::chrono::milliseconds span) { return Deadline(Clock::now() + span); }

  bool passed() const { return Clock::now() >= at_; }

  // For poll(2) and condition variables; 0 once passed.
  std::chrono::milliseconds left() const {
    return std::max(std::chrono::milliseconds(0), std::chrono::ceil<std::chrono::milliseconds>(at_ - Clock::now()));
  }
  Clock::time_point at() const { return at_; }

 private:
  explicit Deadline(Clock::time_point at) : at_(at) {}
  Clock::time_point at_;
};

}  // namespace qccl
