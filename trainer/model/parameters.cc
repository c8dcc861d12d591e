#include "model/parameters.hpp"

#include <algorithm>
#include <cmath>

#include "model/error.hpp"
#include "model/random.hpp"

namespace qccl::train {
namespace {

constexpr std::size_t kAlignElems = 16;  // 64 bytes of FP32

}  // namespace

Parameters::Parameters(const ModelConfig& config, Ops& ops) : ops_(ops), layers_(config.layers) {
  config.validate();
  const std::int64_t h = config.hidden, a = config.queryWidth(), k = config.kvWidth(), f = config.ffn;
  const auto prefix = [](std::int64_t layer) { return "model.layers." + std::to_string(layer) + "."; };

  if (!config.tied) append("lm_head.weight", {config.vocab, h}, false);
  for (std::int64_t layer = config.layers - 1; layer >= 0; --layer) {
    append(prefix(layer) + "mlp.down_proj.weight", {h, f}, true);
    append(prefix(layer) + "mlp.gate_proj.weight", {f, h}, false);
    append(prefix(layer) + "mlp.up_proj.weight", {f, h}, false);
    append(prefix(layer) + "self_attn.o_proj.weight", {h, a}, true);
    append(prefix(layer) + "self_attn.q_proj.weight", {a, h}, false);
    append(prefix(layer) + "self_attn.k_proj.weight", {k, h}, false);
    append(prefix(layer) + "self_attn.v_proj.weight", {k, h}, false);
  }
  append("model.embed_tokens.weight", {config.vocab, h}, false);
  matrixElems_ = arenaElems_;
  append("model.norm.weight", {h}, false);
  for (std::int64_t layer = config.layers - 1; layer >= 0; --layer) {
    append(prefix(layer) + "post_attention_layernorm.weight", {h}, false);
    append(prefix(layer) + "input_layernorm.weight", {h}, false);
  }
  values_ = Buffer<float>(ops, arenaElems_);
  gradients_ = Buffer<float>(ops, arenaElems_);
}

void Parameters::append(std::string name, std::vector<std::int64_t> shape, bool closesResidual) {
  Parameter p;
  p.name = std::move(name);
  p.is1D = shape.size() == 1;
  p.elems = 1;
  for (const std::int64_t extent : shape) p.elems *= static_cast<std::size_t>(extent);
  p.shape = std::move(shape);
  p.offsetElems = arenaElems_;
  p.closesResidual = closesResidual;
  arenaElems_ += (p.elems + kAlignElems - 1) / kAlignElems * kAlignElems;
  list_.push_back(std::move(p));
}

bool Parameters::has(std::string_view name) const {
  return std::any_of(list_.begin(), list_.end(), [&](const Parameter& p) { return p.name == name; });
}

const Parameter& Parameters::operator[](std::string_view name) const {
  const auto it = std::find_if(list_.begin(), list_.end(), [&](const Parameter& p) { return p.name == name; });
  if (it == list_.end()) failTrain("the model has no parameter ", name);
  return *it;
}

void Parameters::zeroGradients() { ops_.zero(gradients_.data(), arenaElems_ * sizeof(float)); }

void Parameters::discardGradients(std::size_t beginElems, std::size_t endElems) {
  ops_.discard(gradients_.data() + beginElems, (endElems - beginElems) * sizeof(float));
}

std::size_t Parameters::residentGradientBytes() const { return ops_.residentBytes(gradients_.data(), arenaElems_ * sizeof(float)); }

void Parameters::initialize(std::uint64_t seed, const InitOptions& options) {
  if (!(options.stddev >= 0) || !std::isfinite(options.stddev))
    failTrain("the standard deviation of the initial weights is ", options.stddev);
  std::vector<float> host;
  for (const Parameter& p : list_) {
    host.assign(p.elems, 1.0F);
    if (!p.is1D) {
      double stddev = options.stddev;
      if (options.scaleResidual && p.closesResidual) stddev /= std::sqrt(2.0 * static_cast<double>(layers_));
      const std::uint64_t stream = nameHash(p.name);
      for (std::size_t i = 0; i < p.elems; ++i) host[i] = static_cast<float>(stddev * normal(seed, stream, i));
    }
    ops_.fromHost(values_.data() + p.offsetElems, host.data(), p.elems * sizeof(float));
  }
}

}  // namespace qccl::train
