// LLaMA as Hugging Face's LlamaForCausalLM defines it: forward, loss and backward.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "model/activation_keeper.hpp"
#include "model/activations.hpp"
#include "model/config.hpp"
#include "model/ops.hpp"
#include "model/parameters.hpp"
#include "model/rope.hpp"

namespace qccl::train {

// Called from inside backward, on its thread, when nothing more will be added to this parameter's gradient in this backward.
using GradReady = std::function<void(const Parameter&)>;

struct LlamaOptions {
  // Logits are made for as many rows at a time as fit (at least one). If all rows of a batch fit, backward reuses those of forward; else it
  // makes them again.
  std::size_t logitsBytes = std::size_t{64} << 20;
  // Where each layer's saved tensors are between forward and backward; must outlive the model. nullptr: in FP32, where forward wrote them.
  ActivationKeeper* keeper = nullptr;
};

class Llama {
 public:
  // Weights and gradients are zero: initialize or load parameters(). `ops` must outlive the model.
  Llama(const ModelConfig& config, Ops& ops, const LlamaOptions& options = {});

  const ModelConfig& config() const { return config_; }
  Ops& ops() { return ops_; }
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }
  const RotaryEmbedding& rope() const { return rope_; }

  // Mean cross entropy of `batch` sequences of `seqLen` tokens. targets[i] is what should follow tokens[i] (already shifted); negative
  // targets do not count. 0 if none counts. Throws TrainError if sizes disagree, a token or target is not in the vocabulary, or seqLen >
  // maxSeq. Memory is allocated when a batch is larger than any before, never otherwise.
  float forward(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets, std::int64_t batch, std::int64_t seqLen);

  // Adds lossScale * d(loss of the last forward) to the gradients. With several micro-batches in a step, each of equal weight, lossScale is
  // 1 / their number. Each forward may be followed by at most one backward. onReady is called once for each parameter, in the order of the
  // layout, vectors where they fall:
  //   model.norm or lm_head first, embed_tokens last.
  void backward(float lossScale, const GradReady& onReady = {});

  // Logits of every position, batch * seqLen rows of vocab values, to host memory. Ends the last forward: no backward after it.
  void logits(std::span<const std::int32_t> tokens, std::int64_t batch, std::int64_t seqLen, std::span<float> out);

  // Bytes held for activations and scratch; 0 before the first batch.
  std::size_t activationBytes() const { return activations_.totalBytes() + (options_.keeper != nullptr ? options_.keeper->bytes() : 0); }

 private:
  struct LayerWeights {
    const Parameter *inputNorm, *q, *k, *v, *o, *postNorm, *gate, *up, *down;
  };

  Matrix value(const Parameter& p);
  Matrix gradient(const Parameter& p);
  void checkTokens(std::span<const std::int32_t> tokens, std::int64_t batch, std::int64_t seqLen) const;
  void runLayers(std::span<const std::int32_t> tokens, std::int64_t batch, std::int64_t seqLen, ActivationKeeper* keeper);
  void layerForward(std::size_t layer);
  void restore(std::size_t layer);
  void layerBackward(std::size_t layer, const GradReady& onReady);
  void headBackward(float lossScale, const GradReady& onReady);
  std::int64_t chunkRows(std::int64_t rows) const;

  ModelConfig config_;
  Ops& ops_;
  LlamaOptions options_;
  Parameters parameters_;
  RotaryEmbedding rope_;
  Activations activations_;
  std::vector<LayerWeights> layers_;
  const Parameter* embedding_ = nullptr;
  const Parameter* finalNorm_ = nullptr;
  const Parameter* head_ = nullptr;  // the embedding where tied
  std::int64_t countedTargets_ = 0;
  bool backwardReady_ = false;
};

}  // namespace qccl::train
