#include "model/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/error.hpp"
#include "model/random.hpp"

namespace qccl::train {
namespace {

constexpr std::uint64_t kSamplerStream = 0x53414d50;  // apart from other uses of the same seed

}  // namespace

void SamplerOptions::validate() const {
  if (!(temperature >= 0) || !std::isfinite(temperature)) failTrain("the sampling temperature is ", temperature, "; it must be 0 or more");
  if (topK < 0) failTrain("top-k is ", topK, "; it must be 0 (all tokens) or more");
  if (!(topP > 0 && topP <= 1)) failTrain("top-p is ", topP, "; it must be above 0 and at most 1");
}

Sampler::Sampler(const SamplerOptions& options) : options_(options) { options.validate(); }

std::int32_t Sampler::next(std::span<const float> logits) {
  if (logits.empty()) failTrain("there are no logits to sample from");
  if (!std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) {
    failTrain("the model's logits are not finite: its weights are damaged, or training diverged");
  }
  const double draw = uniform(options_.seed, kSamplerStream, draws_++);
  if (options_.temperature == 0) return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());

  order_.resize(logits.size());
  std::iota(order_.begin(), order_.end(), 0);
  const auto before = [&](std::int32_t a, std::int32_t b) {
    const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const std::size_t kept = options_.topK == 0 ? order_.size() : std::min(order_.size(), static_cast<std::size_t>(options_.topK));
  std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(kept), order_.end(), before);
  order_.resize(kept);

  weights_.resize(kept);
  const double most = static_cast<double>(logits[static_cast<std::size_t>(order_[0])]);
  double total = 0;
  for (std::size_t i = 0; i < kept; ++i) {
    weights_[i] = std::exp((static_cast<double>(logits[static_cast<std::size_t>(order_[i])]) - most) / options_.temperature);
    total += weights_[i];
  }
  // The nucleus: the shortest run from the most probable on that holds topP of what top-k left.
  std::size_t count = kept;
  if (options_.topP < 1) {
    double sum = 0;
    for (count = 0; count < kept && sum < options_.topP * total; ++count) sum += weights_[count];
    total = sum;
  }
  double threshold = draw * total;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    threshold -= weights_[i];
    if (threshold < 0) return order_[i];
  }
  return order_[count - 1];
}

}  // namespace qccl::train
