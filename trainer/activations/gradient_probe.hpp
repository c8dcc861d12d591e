// The gradients of one batch under one plan for saved activations after another, and how far they are from the exact ones.
#pragma once

#include <span>
#include <vector>

#include "activations/pooled_activations.hpp"
#include "model/llama.hpp"

namespace qccl::train {

struct TokenBatch {
  std::vector<std::int32_t> tokens, targets;  // sequences * seqLen of each
  std::int64_t sequences = 0, seqLen = 0;
};

class GradientProbe {
 public:
  // A model of its own with these weights. Works out the exact gradients, with activations in FP32 where forward left them. `ops` and
  // `batch` must outlive the probe.
  GradientProbe(const Parameters& weights, const ModelConfig& config, Ops& ops, const TokenBatch& batch);

  // Runs the batch under a plan: its loss, and its gradients from gradients() until the next run.
  float run(const ActivationPlan& plan);

  std::span<const float> gradients() const { return model_.parameters().gradients(); }
  std::span<const float> exactGradients() const { return exact_; }
  float exactLoss() const { return exactLoss_; }
  const ModelConfig& config() const { return model_.config(); }
  std::int64_t rows() const { return batch_.sequences * batch_.seqLen; }
  const Parameters& parameters() const { return model_.parameters(); }
  std::size_t keptBytes() const { return keeper_.bytes(); }

  // Square of the norm of the difference over that of the exact gradient, of all parameters together, after run().
  double squaredError() const;

 private:
  const TokenBatch& batch_;
  PooledActivations keeper_;
  Llama model_;
  std::vector<float> exact_;
  float exactLoss_ = 0;
};

}  // namespace qccl::train
