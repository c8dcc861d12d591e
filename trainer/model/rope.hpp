// Tables of rotary embedding: angle(position, i) = position * frequency(i), frequency(i) = theta^(-2i / headDim), stretched as the
// configuration says.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.hpp"
#include "model/ops.hpp"

namespace qccl::train {

// headDim / 2 values in FP32, as LlamaForCausalLM rounds them.
std::vector<float> ropeFrequencies(const ModelConfig& config);

class RotaryEmbedding {
 public:
  RotaryEmbedding(const ModelConfig& config, Ops& ops);

  RopeTable table() const { return {cosine_.data(), sine_.data(), maxSeq_, halfDim_}; }

 private:
  std::int64_t maxSeq_;
  std::int64_t halfDim_;
  Buffer<float> cosine_, sine_;
};

}  // namespace qccl::train
