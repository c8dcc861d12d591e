// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter), both moments in FP32.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/parameters.hpp"

namespace qccl::train {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weightDecay = 0.1;  // matrices only; vectors (norm weights) do not decay

  // Throws TrainError that names the field.
  void validate() const;
};

// The result is a function of the arguments alone, with the same bits on every machine: elementwise IEEE operations, no fused ones.
class AdamW {
 public:
  AdamW(const Parameters& parameters, const AdamWOptions& options);

  // One update of every parameter from its gradient g * gradScale:
  //   m = beta1 m + (1 - beta1) g      v = beta2 v + (1 - beta2) g^2
  //   w = w - lr weightDecay w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
  void step(Parameters& parameters, double learningRate, double gradScale = 1.0);

  // The same in parts, where gradients are not all there at once: beginStep, then update for each parameter once.
  void beginStep(double learningRate, double gradScale = 1.0);
  void update(Parameters& parameters, const Parameter& parameter);

  std::int64_t steps() const { return steps_; }
  void setSteps(std::int64_t steps) { steps_ = steps; }  // when a state is loaded

  // In the layout of the parameter arena.
  std::span<float> firstMoment() { return m_; }
  std::span<float> secondMoment() { return v_; }
  std::span<const float> firstMoment() const { return m_; }
  std::span<const float> secondMoment() const { return v_; }

 private:
  AdamWOptions options_;
  std::int64_t steps_ = 0;
  double learningRate_ = 0;  // of the step under way, and so gradScale_
  double gradScale_ = 1;
  std::vector<float> m_, v_;
};

}  // namespace qccl::train
