// Which cases there are: a few questions, each a table, instead of all combinations.
#pragma once

#include <string>
#include <vector>

#include "numerics/case.hpp"
#include "numerics/gradient_files.hpp"
#include "numerics/options.hpp"

namespace qccl::bench::numerics {

//   algorithms  algorithm x ranks x codec, against rings of FP32 and BF16
//   blocks      codec x block
//   scales      codec x type of the scale
//   rounding    nearest and stochastic
//   data        normal, heavy-tailed and captured values x signs
//   gradients   captured values, step by step
//   outliers    outliers.hpp
std::vector<std::string> tableNames();

// The cases that the options ask for, those of one input in a row.
std::vector<Case> casesOf(const Options& options, const std::vector<CapturedStep>& steps);

bool wants(const Options& options, const std::string& table);

}  // namespace qccl::bench::numerics
