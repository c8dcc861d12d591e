#include "activations/gradient_probe.hpp"

#include <algorithm>

namespace qccl::train {
namespace {

void copyWeights(const Parameters& from, Parameters* to) { std::copy(from.values().begin(), from.values().end(), to->values().begin()); }

float runBatch(Llama& model, const TokenBatch& batch) {
  model.parameters().zeroGradients();
  const float loss = model.forward(batch.tokens, batch.targets, batch.sequences, batch.seqLen);
  model.backward(1.0F);
  return loss;
}

}  // namespace

GradientProbe::GradientProbe(const Parameters& weights, const ModelConfig& config, Ops& ops, const TokenBatch& batch)
    : batch_(batch), keeper_(parseActivationPlan("exact", 128, "float32")), model_(config, ops, {.keeper = &keeper_}) {
  Llama plain(config, ops);
  copyWeights(weights, &plain.parameters());
  copyWeights(weights, &model_.parameters());
  exactLoss_ = runBatch(plain, batch);
  const auto gradients = plain.parameters().gradients();
  exact_.assign(gradients.begin(), gradients.end());
}

float GradientProbe::run(const ActivationPlan& plan) {
  keeper_.setPlan(plan);
  return runBatch(model_, batch_);
}

double GradientProbe::squaredError() const {
  const auto other = gradients();
  double difference = 0, square = 0;
  for (std::size_t i = 0; i < exact_.size(); ++i) {
    const double a = exact_[i], d = a - static_cast<double>(other[i]);
    difference += d * d;
    square += a * a;
  }
  return square > 0 ? difference / square : 0;
}

}  // namespace qccl::train
