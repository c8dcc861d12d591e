#include "optimizer/adamw.hpp"

#include <cmath>

#include "model/error.hpp"

namespace qccl::train {
namespace {

struct Factors {
  float beta1, beta2, keep1, keep2;  // keep = 1 - beta
  float gradScale, decay;            // decay: what multiplies a weight
  float stepSize;                    // lr / (1 - beta1^t)
  float secondScale;                 // 1 / (1 - beta2^t)
  float eps;
};

// Plain loops over distinct arrays: the compiler makes vectors of them, and no operation is fused, so every machine gives the same bits.
void updateValues(float* __restrict w, const float* __restrict g, float* __restrict m, float* __restrict v, std::size_t elems,
                  const Factors& f) {
  for (std::size_t i = 0; i < elems; ++i) {
    const float gradient = g[i] * f.gradScale;
    m[i] = f.beta1 * m[i] + f.keep1 * gradient;
    v[i] = f.beta2 * v[i] + f.keep2 * (gradient * gradient);
    w[i] = w[i] * f.decay - f.stepSize * m[i] / (__builtin_sqrtf(v[i] * f.secondScale) + f.eps);
  }
}

}  // namespace

void AdamWOptions::validate() const {
  if (!(beta1 >= 0 && beta1 < 1)) failTrain("AdamW's beta1 is ", beta1, "; it must be at least 0 and below 1");
  if (!(beta2 >= 0 && beta2 < 1)) failTrain("AdamW's beta2 is ", beta2, "; it must be at least 0 and below 1");
  if (!(eps > 0) || !std::isfinite(eps)) failTrain("AdamW's eps is ", eps, "; it must be a positive number");
  if (!(weightDecay >= 0) || !std::isfinite(weightDecay)) failTrain("AdamW's weight decay is ", weightDecay, "; it must be 0 or more");
}

AdamW::AdamW(const Parameters& parameters, const AdamWOptions& options)
    : options_(options), m_(parameters.arenaElems(), 0.0F), v_(parameters.arenaElems(), 0.0F) {
  options.validate();
}

void AdamW::step(Parameters& parameters, double learningRate, double gradScale) {
  beginStep(learningRate, gradScale);
  for (const Parameter& p : parameters.list()) update(parameters, p);
}

void AdamW::beginStep(double learningRate, double gradScale) {
  ++steps_;
  learningRate_ = learningRate;
  gradScale_ = gradScale;
}

void AdamW::update(Parameters& parameters, const Parameter& p) {
  if (parameters.arenaElems() != m_.size()) failTrain("defect in the trainer: the optimizer was made for another model");
  const auto t = static_cast<double>(steps_);
  Factors f{};
  f.beta1 = static_cast<float>(options_.beta1);
  f.beta2 = static_cast<float>(options_.beta2);
  f.keep1 = static_cast<float>(1 - options_.beta1);
  f.keep2 = static_cast<float>(1 - options_.beta2);
  f.gradScale = static_cast<float>(gradScale_);
  f.decay = p.is1D ? 1.0F : static_cast<float>(1 - learningRate_ * options_.weightDecay);
  f.stepSize = static_cast<float>(learningRate_ / (1 - std::pow(options_.beta1, t)));
  f.secondScale = static_cast<float>(1 / (1 - std::pow(options_.beta2, t)));
  f.eps = static_cast<float>(options_.eps);
  updateValues(parameters.value(p).data(), parameters.gradient(p).data(), m_.data() + p.offsetElems, v_.data() + p.offsetElems, p.elems, f);
}

}  // namespace qccl::train
