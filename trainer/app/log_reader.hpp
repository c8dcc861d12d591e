// Reads the log of a run back.
#pragma once

#include <map>
#include <string>

namespace qccl::train {

struct RunCurves {
  std::string name;
  std::map<long long, double> trainLoss;  // by step
  std::map<long long, double> valLoss;
  std::size_t damagedLines = 0;  // skipped: torn by a crash, or not ours
};

// A run that was resumed wrote some steps twice: what follows the resumption counts. Throws TrainError if the file cannot be read or holds
// no record.
RunCurves readRunLog(const std::string& path);

}  // namespace qccl::train
