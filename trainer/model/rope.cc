#include "model/rope.hpp"

#include <cmath>
#include <numbers>

namespace qccl::train {
namespace {

// Llama 3's stretching: slow frequencies are divided by the factor, fast ones kept, those between blended linearly in (original length /
// wavelength).
float stretchLlama3(float frequency, const RopeScaling& scaling) {
  const double wavelength = 2 * std::numbers::pi / static_cast<double>(frequency);
  const double original = static_cast<double>(scaling.originalMaxSeq);
  if (wavelength < original / scaling.highFreqFactor) return frequency;
  const double slow = static_cast<double>(frequency) / scaling.factor;
  if (wavelength > original / scaling.lowFreqFactor) return static_cast<float>(slow);
  const double blend = (original / wavelength - scaling.lowFreqFactor) / (scaling.highFreqFactor - scaling.lowFreqFactor);
  return static_cast<float>((1 - blend) * slow + blend * static_cast<double>(frequency));
}

}  // namespace

std::vector<float> ropeFrequencies(const ModelConfig& config) {
  std::vector<float> frequencies(static_cast<std::size_t>(config.headDim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const auto exponent = static_cast<float>(2 * i) / static_cast<float>(config.headDim);
    const auto power = static_cast<float>(std::pow(config.ropeTheta, static_cast<double>(exponent)));
    float frequency = 1.0F / power;
    switch (config.ropeScaling.kind) {
      case RopeScaling::Kind::kNone:
        break;
      case RopeScaling::Kind::kLinear:
        frequency = static_cast<float>(static_cast<double>(frequency) / config.ropeScaling.factor);
        break;
      case RopeScaling::Kind::kLlama3:
        frequency = stretchLlama3(frequency, config.ropeScaling);
        break;
    }
    frequencies[i] = frequency;
  }
  return frequencies;
}

RotaryEmbedding::RotaryEmbedding(const ModelConfig& config, Ops& ops) : maxSeq_(config.maxSeq), halfDim_(config.headDim / 2) {
  const std::vector<float> frequencies = ropeFrequencies(config);
  const auto elems = static_cast<std::size_t>(maxSeq_ * halfDim_);
  std::vector<float> cosine(elems), sine(elems);
  std::size_t at = 0;
  for (std::int64_t position = 0; position < maxSeq_; ++position) {
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;  // rounded to FP32, as LlamaForCausalLM does
      cosine[at] = static_cast<float>(std::cos(static_cast<double>(angle)));
      sine[at] = static_cast<float>(std::sin(static_cast<double>(angle)));
      ++at;
    }
  }
  cosine_ = Buffer<float>(ops, elems);
  sine_ = Buffer<float>(ops, elems);
  ops.fromHost(cosine_.data(), cosine.data(), elems * sizeof(float));
  ops.fromHost(sine_.data(), sine.data(), elems * sizeof(float));
}

}  // namespace qccl::train
