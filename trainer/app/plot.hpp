// Loss curves as a picture.
#pragma once

#include <string>
#include <vector>

#include "app/log_reader.hpp"

namespace qccl::train {

struct PlotOptions {
  std::string title;
  int widthPixels = 1100;
  int heightPixels = 720;
};

// A gnuplot script that writes `path` (PNG): training loss as a thin line and validation loss as points for each run; with several runs a
// second panel shows by how many percent the validation loss of each differs from the first run's at the same step (from the training loss
// where a run has no validation).
std::string plotScript(const std::vector<RunCurves>& runs, const std::string& path, const PlotOptions& options);

// Runs the script; `path` appears when it is complete. Throws TrainError.
void plotRuns(const std::vector<RunCurves>& runs, const std::string& path, const PlotOptions& options);

}  // namespace qccl::train
