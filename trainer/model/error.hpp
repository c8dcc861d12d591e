// How the model half of the trainer reports what it cannot do.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace qccl::train {

// One sentence that names what is wrong and, where that is not obvious, what to do.
class TrainError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws TrainError with the arguments streamed one after another.
template <typename... Args>
[[noreturn]] void failTrain(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  throw TrainError(out.str());
}

}  // namespace qccl::train
