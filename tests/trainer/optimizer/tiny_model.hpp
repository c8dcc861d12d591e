// Parameters to optimize: the smallest model there is.
#pragma once

#include <memory>

#include "model/cpu/cpu_ops.hpp"
#include "model/parameters.hpp"

namespace qccl::train {

struct TinyModel {
  TinyModel() : ops(makeCpuOps()), parameters(config(), *ops) {}

  static ModelConfig config() {
    ModelConfig c;
    c.vocab = 5;
    c.hidden = 6;
    c.ffn = 3;
    c.layers = 1;
    c.heads = c.kvHeads = 1;
    c.headDim = 2;
    c.maxSeq = 8;
    return c;
  }

  std::unique_ptr<Ops> ops;
  Parameters parameters;
};

}  // namespace qccl::train
