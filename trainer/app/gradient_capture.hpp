// Gradients as a rank would send them, for experiments on real data: its own of chosen steps, before they are averaged over the ranks.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "model/parameters.hpp"

namespace qccl::train {

// "10,100,300" -> the steps, which count from 1; "" -> none. Throws TrainError.
std::set<std::int64_t> parseCaptureSteps(const std::string& text);

class GradientCapture {
 public:
  // `parameters` must outlive it. Files go to `folder`, which is made when the first is written.
  GradientCapture(const std::string& steps, std::string folder, const Parameters& parameters);

  bool wants(std::int64_t step) const { return steps_.contains(step); }

  // Copies the parameter's gradient, which is final and not yet averaged.
  void take(const Parameter& parameter);

  // Writes what was taken, every parameter once since the last file, as <folder>/step-00000100-rank-0003.safetensors: tensors in FP32 in
  // the order in which they are sent, metadata step, rank and ranks. Throws TrainError.
  void write(std::int64_t step, int rank, int ranks) const;

 private:
  std::set<std::int64_t> steps_;
  std::string folder_;
  const Parameters& parameters_;
  std::vector<float> taken_;  // the gradient arena
};

}  // namespace qccl::train
