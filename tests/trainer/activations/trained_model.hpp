// A small model after forty steps on sequences that can be learned, and the activations of a batch of them: real tensors, with the outliers
// and the sharpened attention that training makes, in a second.
#pragma once

#include <cstdint>
#include <memory>

#include "activations/captured_activations.hpp"
#include "activations/gradient_probe.hpp"
#include "model/cpu/cpu_ops.hpp"
#include "model/llama.hpp"
#include "optimizer/adamw.hpp"
#include "support/models.hpp"

namespace qccl::train::test_support {

// Each token follows from the one before it, but for one in eight, which is drawn.
inline TokenBatch learnableBatch(std::int64_t vocab, std::int64_t sequences, std::int64_t seqLen, std::uint64_t seed) {
  TokenBatch batch{{}, {}, sequences, seqLen};
  std::uint64_t state = seed * 2 + 1;
  const auto draw = [&] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::int64_t>(state >> 33);
  };
  for (std::int64_t s = 0; s < sequences; ++s) {
    std::int64_t last = draw() % vocab;
    for (std::int64_t i = 0; i < seqLen; ++i) {
      const std::int64_t next = draw() % 8 == 0 ? draw() % vocab : (5 * last + 1) % vocab;
      batch.tokens.push_back(static_cast<std::int32_t>(last));
      batch.targets.push_back(static_cast<std::int32_t>(next));
      last = next;
    }
  }
  return batch;
}

struct TrainedModel {
  // Grouped K/V; rows that blocks of 128 do not divide.
  static ModelConfig shape() {
    ModelConfig config = test::smallModel(true);
    config.hidden = 96;
    config.ffn = 200;
    config.layers = 3;
    config.headDim = 24;
    return config;
  }

  TrainedModel() : config(shape()), ops(makeCpuOps()), model(config, *ops) {
    model.parameters().initialize(1, {.scaleResidual = true});
    AdamW optimizer(model.parameters(), {});
    for (std::uint64_t step = 0; step < 40; ++step) {
      const TokenBatch batch = learnableBatch(config.vocab, 8, 32, step);
      model.parameters().zeroGradients();
      loss = model.forward(batch.tokens, batch.targets, batch.sequences, batch.seqLen);
      if (step == 0) firstLoss = loss;
      model.backward(1.0F);
      optimizer.step(model.parameters(), 3e-3);
    }
    captured = captureActivations(model.parameters(), config, *ops, learnableBatch(config.vocab, 4, 64, 1000));
  }

  ModelConfig config;
  std::unique_ptr<Ops> ops;
  Llama model;
  float firstLoss = 0, loss = 0;
  CapturedActivations captured;
};

// Trained once for the suite.
inline TrainedModel& trainedModel() {
  static TrainedModel trained;
  return trained;
}

}  // namespace qccl::train::test_support
