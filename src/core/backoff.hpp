// How a polling loop gives the processor away when nothing happens: spin while the peer is likely to be running, then yield so that ranks
// which share a core make progress, then sleep so that a long wait costs no core.
#pragma once

#include <chrono>
#include <thread>

namespace qccl {

class Backoff {
 public:
  void reset() { idle_ = 0; }

  void pause() {
    ++idle_;
    if (idle_ <= kSpins) return;
    if (idle_ <= kSpins + kYields) {
      std::this_thread::yield();
      return;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(idle_ <= kSpins + kYields + kShortSleeps ? 20 : 200));
  }

 private:
  static constexpr unsigned kSpins = 64;
  static constexpr unsigned kYields = 512;
  static constexpr unsigned kShortSleeps = 200;
  unsigned idle_ = 0;
};

}  // namespace qccl
