// Models for tests of the trainer. Each is a fresh ModelConfig: a test changes what it is about.
#pragma once

#include "model/config.hpp"

namespace qccl::test {

// Grouped K/V and odd widths, milliseconds a step.
inline train::ModelConfig smallModel(bool tied = false) {
  train::ModelConfig config;
  config.vocab = 61;
  config.hidden = 24;
  config.ffn = 37;
  config.layers = 2;
  config.heads = 4;
  config.kvHeads = 2;
  config.headDim = 6;
  config.maxSeq = 128;
  config.tied = tied;
  return config;
}

// Large enough that its gradients fill several buckets of 64 KiB.
inline train::ModelConfig bucketedModel() {
  train::ModelConfig config = smallModel(true);
  config.vocab = 300;
  config.hidden = 96;
  config.ffn = 200;
  config.layers = 3;
  config.headDim = 24;
  config.maxSeq = 16;
  return config;
}

// Of Llama-3-8B: for sizes, not to be built.
inline train::ModelConfig llama3Of8B() {
  train::ModelConfig config;
  config.vocab = 128256;
  config.hidden = 4096;
  config.ffn = 14336;
  config.layers = 32;
  config.heads = 32;
  config.kvHeads = 8;
  config.headDim = 128;
  config.maxSeq = 8192;
  return config;
}

// The smallest that there is.
inline train::ModelConfig tinyModel() {
  train::ModelConfig config;
  config.vocab = 5;
  config.hidden = 6;
  config.ffn = 3;
  config.layers = 1;
  config.heads = config.kvHeads = 1;
  config.headDim = 2;
  config.maxSeq = 8;
  return config;
}

}  // namespace qccl::test
