// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace qccl::train {

// "850", "12.3k", "4.56M"
std::string formatCount(double value);
// "42s", "3m07s", "2h05m"
std::string formatSeconds(double seconds);

struct StepFigures {
  std::int64_t step = 0;
  std::int64_t total = 0;
  double loss = 0;
  double gradNorm = 0;
  double learningRate = 0;
  double seconds = 0;
  double tokensPerSecond = 0;
  double wireBytes = 0;  // that a rank sent, on average over the ranks
  double waitShare = 0;  // of the step, spent waiting for gradients, on average over the ranks
  double etaSeconds = 0;
};

// One line without its end.
std::string progressLine(const StepFigures& figures, bool communicates);

}  // namespace qccl::train
