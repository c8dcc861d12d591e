// Generation with cached keys and values: each new token costs one row through the model, not the whole prefix again.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/llama.hpp"
#include "model/sampler.hpp"

namespace qccl::train {

class Decoder {
 public:
  // Holds room for `capacity` tokens (<= maxSeq). The model must outlive the decoder; training it in between makes the cache stale: reset()
  // then.
  Decoder(Llama& model, std::int64_t capacity);

  // Appends tokens and returns the logits (host memory, valid until the next call) for what follows the last one. Throws TrainError if they
  // do not fit or a token is not in the vocabulary.
  std::span<const float> append(std::span<const std::int32_t> tokens);

  std::int64_t length() const { return length_; }
  std::int64_t capacity() const { return capacity_; }
  void reset() { length_ = 0; }

 private:
  struct Layer {
    Buffer<float> keys, values;  // capacity x kvWidth
    const Parameter *inputNorm, *q, *k, *v, *o, *postNorm, *gate, *up, *down;
  };
  struct Scratch {
    Matrix stream, xhat, norm, q, o, gate, up, product, logits;
    float *rstd = nullptr, *lse = nullptr;
  };

  Matrix weight(const Parameter& p);
  void reserve(std::int64_t rows);
  void layerForward(Layer& layer, std::int64_t rows);

  Llama& model_;
  std::int64_t capacity_;
  std::int64_t length_ = 0;
  std::vector<Layer> layers_;
  const Parameter *embedding_, *finalNorm_, *head_;
  Buffer<float> arena_;
  Scratch scratch_;
  Buffer<std::int32_t> tokens_;
  std::vector<float> logits_;
};

// Continues `prompt` by up to maxNew tokens, or until `stopToken` (which is not returned; -1: none). When the model's maxSeq is reached the
// last half of the context is kept. onToken, if given, sees each token as it is chosen; false ends the generation.
std::vector<std::int32_t> generate(Llama& model, std::span<const std::int32_t> prompt, std::int64_t maxNew, const SamplerOptions& options,
                                   std::int32_t stopToken = -1, const std::function<bool(std::int32_t)>& onToken = {});

}  // namespace qccl::train
