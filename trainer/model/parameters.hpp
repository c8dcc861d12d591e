// All weights in one arena and all gradients in a second one of the same layout.
//
// Layout, in the order of offsets:
//   matrices   in the order in which backward finishes their gradients:
//              lm_head (untied only); for each layer from the last to the first: down, gate, up, o, q, k, v; embed_tokens
//   vectors    (the norm weights) in the same order: model.norm; for each layer from the last to the first: post_attention_layernorm,
//   input_layernorm
// So a data-parallel bucket is a contiguous range of the gradient arena, buckets of matrices become ready from low to high offsets, and the
// vectors, which are to be reduced exactly, are one range of their own. Each tensor begins at a multiple of 16 elements (64 bytes); the
// gaps hold zeros in both arenas and stay zero.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.hpp"
#include "model/ops.hpp"

namespace qccl::train {

struct Parameter {
  std::string name;  // as in a Hugging Face checkpoint: model.layers.0.self_attn.q_proj.weight
  std::vector<std::int64_t> shape;
  std::size_t offsetElems = 0;  // in both arenas
  std::size_t elems = 0;
  bool is1D = false;
  bool closesResidual = false;  // o_proj, down_proj: their output is added to the residual stream

  std::int64_t rows() const { return shape.front(); }
  std::int64_t cols() const { return is1D ? 1 : shape.back(); }
};

struct InitOptions {
  double stddev = 0.02;
  bool scaleResidual = false;  // o_proj and down_proj get stddev / sqrt(2 * layers)
};

class Parameters {
 public:
  // Values and gradients are zero. `ops` must outlive the parameters.
  Parameters(const ModelConfig& config, Ops& ops);

  const std::vector<Parameter>& list() const { return list_; }  // by offset
  const Parameter& operator[](std::string_view name) const;     // TrainError if there is none
  bool has(std::string_view name) const;

  // Elements of one arena, gaps included; [0, matrixElems) holds the matrices, [matrixElems, arenaElems) the vectors.
  std::size_t arenaElems() const { return arenaElems_; }
  std::size_t matrixElems() const { return matrixElems_; }

  std::span<float> values() { return {values_.data(), arenaElems_}; }
  std::span<const float> values() const { return {values_.data(), arenaElems_}; }
  std::span<float> gradients() { return {gradients_.data(), arenaElems_}; }
  std::span<const float> gradients() const { return {gradients_.data(), arenaElems_}; }

  std::span<float> value(const Parameter& p) { return values().subspan(p.offsetElems, p.elems); }
  std::span<const float> value(const Parameter& p) const { return values().subspan(p.offsetElems, p.elems); }
  std::span<float> gradient(const Parameter& p) { return gradients().subspan(p.offsetElems, p.elems); }
  std::span<const float> gradient(const Parameter& p) const { return gradients().subspan(p.offsetElems, p.elems); }

  void zeroGradients();
  // Zeroes a range of the gradient arena and gives its memory back to the system, as far as it can, until it is written again.
  void discardGradients(std::size_t beginElems, std::size_t endElems);
  // Bytes of the gradient arena that occupy memory now.
  std::size_t residentGradientBytes() const;

  // Matrices normal(0, stddev), vectors 1. A value depends on the seed, the parameter's name and the element's index alone: the same bits
  // on every machine, for every layout.
  void initialize(std::uint64_t seed, const InitOptions& options = {});

 private:
  void append(std::string name, std::vector<std::int64_t> shape, bool closesResidual);

  Ops& ops_;
  std::int64_t layers_;
  std::vector<Parameter> list_;
  std::size_t arenaElems_ = 0;
  std::size_t matrixElems_ = 0;
  Buffer<float> values_;
  Buffer<float> gradients_;
};

}  // namespace qccl::train
