// What forward left for backward, copied as it is: to measure on real tensors what a format does to them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "activations/activation_plan.hpp"
#include "activations/gradient_probe.hpp"
#include "model/parameters.hpp"

namespace qccl::train {

struct CapturedActivations {
  struct Layer {
    std::array<std::vector<float>, kSavedKinds.size()> tensors;  // rows x savedWidth() of each
    std::vector<float> rstd1, rstd2;                             // a row each
  };

  ModelConfig config;
  std::int64_t rows = 0;
  std::int64_t seqLen = 0;
  std::vector<Layer> layers;
};

// Of a forward pass of the batch through a model with these weights.
CapturedActivations captureActivations(const Parameters& weights, const ModelConfig& config, Ops& ops, const TokenBatch& batch);

// The values after a way through the codes of a format; those of codec none are what they were.
std::vector<float> roundTrip(std::span<const float> values, const qcclPackedFormat_t& format);

// The codec's bound: how far a restored value may be from the value, over the largest magnitude of its block (with bf16 of the value
// itself).
double relativeError(const qcclPackedFormat_t& format);

// How far roundTrip() may be from each value.
std::vector<double> errorLimits(std::span<const float> values, const qcclPackedFormat_t& format);

}  // namespace qccl::train
