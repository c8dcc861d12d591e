// Parameters to optimize: the smallest model there is.
#pragma once

#include <memory>

#include "model/cpu/cpu_ops.hpp"
#include "model/parameters.hpp"
#include "support/models.hpp"

namespace qccl::train {

struct TinyModel {
  TinyModel() : ops(makeCpuOps()), parameters(test::tinyModel(), *ops) {}

  std::unique_ptr<Ops> ops;
  Parameters parameters;
};

}  // namespace qccl::train
