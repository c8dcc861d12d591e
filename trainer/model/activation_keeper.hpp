// Keeps what forward leaves for backward, layer by layer, where that is not left in the memory that forward wrote it to. Forward is exact
// with any keeper; what backward gets may be less precise.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/activations.hpp"

namespace qccl::train {

class ActivationKeeper {
 public:
  virtual ~ActivationKeeper() = default;

  // A forward pass of batch * seqLen rows begins. What is still kept of the one before is given up.
  virtual void begin(const ModelConfig& config, std::int64_t rows) = 0;
  // Takes all of a layer's tensors; their memory is written over by the next layer. Layers come in order.
  virtual void save(std::size_t layer, const LayerActivations& tensors) = 0;
  // Gives them back, the last saved layer first.
  virtual void restore(std::size_t layer, const LayerActivations& tensors) = 0;
  // Whether the softmax statistics (lse) are to be computed again from the restored q and k, so that the rows of the attention matrix still
  // add up to 1.
  virtual bool recomputesStatistics() const = 0;
  // Memory for it.
  virtual std::size_t bytes() const = 0;
};

}  // namespace qccl::train
