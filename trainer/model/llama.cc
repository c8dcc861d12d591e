#include "model/llama.hpp"

#include <algorithm>

#include "model/error.hpp"

namespace qccl::train {

Llama::Llama(const ModelConfig& config, Ops& ops, const LlamaOptions& options)
    : config_(config),
      ops_(ops),
      options_(options),
      parameters_(config, ops),
      rope_(config, ops),
      activations_(config, ops, options.keeper != nullptr) {
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    layers_.push_back({&parameters_[prefix + "input_layernorm.weight"], &parameters_[prefix + "self_attn.q_proj.weight"],
                       &parameters_[prefix + "self_attn.k_proj.weight"], &parameters_[prefix + "self_attn.v_proj.weight"],
                       &parameters_[prefix + "self_attn.o_proj.weight"], &parameters_[prefix + "post_attention_layernorm.weight"],
                       &parameters_[prefix + "mlp.gate_proj.weight"], &parameters_[prefix + "mlp.up_proj.weight"],
                       &parameters_[prefix + "mlp.down_proj.weight"]});
  }
  embedding_ = &parameters_["model.embed_tokens.weight"];
  finalNorm_ = &parameters_["model.norm.weight"];
  head_ = config.tied ? embedding_ : &parameters_["lm_head.weight"];
}

Matrix Llama::value(const Parameter& p) { return {parameters_.value(p).data(), p.rows(), p.cols()}; }
Matrix Llama::gradient(const Parameter& p) { return {parameters_.gradient(p).data(), p.rows(), p.cols()}; }

std::int64_t Llama::chunkRows(std::int64_t rows) const {
  const auto fit = static_cast<std::int64_t>(options_.logitsBytes / (static_cast<std::size_t>(config_.vocab) * sizeof(float)));
  return std::clamp<std::int64_t>(fit, 1, rows);
}

void Llama::checkTokens(std::span<const std::int32_t> tokens, std::int64_t batch, std::int64_t seqLen) const {
  if (batch < 1 || seqLen < 1 || seqLen > config_.maxSeq) {
    failTrain("a batch of ", batch, " sequences of ", seqLen, " tokens does not fit the model: it needs 1 to ", config_.maxSeq, " tokens");
  }
  if (tokens.size() != static_cast<std::size_t>(batch) * static_cast<std::size_t>(seqLen)) {
    failTrain("a batch of ", batch, " sequences of ", seqLen, " tokens was given ", tokens.size(), " tokens");
  }
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= config_.vocab) failTrain("token ", token, " is not in the model's vocabulary of ", config_.vocab);
  }
}

float Llama::forward(std::span<const std::int32_t> tokens, std::span<const std::int32_t> targets, std::int64_t batch, std::int64_t seqLen) {
  checkTokens(tokens, batch, seqLen);
  if (targets.size() != tokens.size()) failTrain("a batch has ", tokens.size(), " tokens and ", targets.size(), " targets");
  for (const std::int32_t target : targets) {
    if (target >= config_.vocab) failTrain("target ", target, " is not in the model's vocabulary of ", config_.vocab);
  }
  runLayers(tokens, batch, seqLen, options_.keeper);
  ops_.fromHost(activations_.targets(), targets.data(), targets.size_bytes());

  const std::int64_t rows = activations_.rows();
  LossSum sum;
  for (std::int64_t first = 0; first < rows; first += activations_.chunkRows()) {
    const std::int64_t count = std::min(activations_.chunkRows(), rows - first);
    const Matrix logits = activations_.logits.rowRange(0, count);
    ops_.linearForward(activations_.normFinal.rowRange(first, count), value(*head_), logits, Write::kReplace);
    const LossSum part = ops_.crossEntropyForward(logits, activations_.targets() + first, activations_.lossLse + first);
    sum.total += part.total;
    sum.count += part.count;
  }
  countedTargets_ = sum.count;
  backwardReady_ = true;
  return sum.count == 0 ? 0.0F : static_cast<float>(sum.total / static_cast<double>(sum.count));
}

void Llama::runLayers(std::span<const std::int32_t> tokens, std::int64_t batch, std::int64_t seqLen, ActivationKeeper* keeper) {
  backwardReady_ = false;
  activations_.shape(batch, seqLen, chunkRows(batch * seqLen));
  ops_.fromHost(activations_.tokens(), tokens.data(), tokens.size_bytes());
  ops_.embeddingForward(activations_.tokens(), value(*embedding_), activations_.stream);
  if (keeper != nullptr) keeper->begin(config_, activations_.rows());
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layerForward(i);
    if (keeper != nullptr) keeper->save(i, activations_.layer(i));
  }
  ops_.rmsNormForward(activations_.stream, value(*finalNorm_).data, static_cast<float>(config_.normEps), activations_.xhatFinal,
                      activations_.rstdFinal, activations_.normFinal);
}

void Llama::layerForward(std::size_t index) {
  const LayerWeights& w = layers_[index];
  LayerActivations& saved = activations_.layer(index);
  Activations& a = activations_;
  const AttentionShape shape{a.batch(), a.seqLen(), a.seqLen(), config_.heads, config_.kvHeads, config_.headDim};
  const auto eps = static_cast<float>(config_.normEps);

  ops_.rmsNormForward(a.stream, value(*w.inputNorm).data, eps, saved.xhat1, saved.rstd1, a.norm);
  ops_.linearForward(a.norm, value(*w.q), saved.q, Write::kReplace);
  ops_.linearForward(a.norm, value(*w.k), saved.k, Write::kReplace);
  ops_.linearForward(a.norm, value(*w.v), saved.v, Write::kReplace);
  ops_.ropeForward(saved.q, rope_.table(), 0, a.seqLen());
  ops_.ropeForward(saved.k, rope_.table(), 0, a.seqLen());
  ops_.attentionForward(shape, saved.q, saved.k, saved.v, saved.o, saved.lse);
  ops_.linearForward(saved.o, value(*w.o), a.stream, Write::kAdd);

  ops_.rmsNormForward(a.stream, value(*w.postNorm).data, eps, saved.xhat2, saved.rstd2, a.norm);
  ops_.linearForward(a.norm, value(*w.gate), saved.gate, Write::kReplace);
  ops_.linearForward(a.norm, value(*w.up), saved.up, Write::kReplace);
  ops_.swigluForward(saved.gate, saved.up, a.product);
  ops_.linearForward(a.product, value(*w.down), a.stream, Write::kAdd);
}

void Llama::backward(float lossScale, const GradReady& onReady) {
  if (!backwardReady_) failTrain("backward was called without a forward before it: each forward allows one backward");
  backwardReady_ = false;
  headBackward(lossScale, onReady);
  for (std::size_t i = layers_.size(); i-- > 0;) {
    if (options_.keeper != nullptr) restore(i);
    layerBackward(i, onReady);
  }
  ops_.embeddingBackward(activations_.tokens(), activations_.stream, gradient(*embedding_));
  if (onReady) onReady(*embedding_);
}

// Leaves the gradient of the residual stream's end in activations_.stream.
void Llama::headBackward(float lossScale, const GradReady& onReady) {
  Activations& a = activations_;
  const std::int64_t rows = a.rows();
  const float scale = countedTargets_ == 0 ? 0.0F : lossScale / static_cast<float>(countedTargets_);
  const bool logitsKept = a.chunkRows() >= rows;
  for (std::int64_t first = 0; first < rows; first += a.chunkRows()) {
    const std::int64_t count = std::min(a.chunkRows(), rows - first);
    const Matrix input = a.normFinal.rowRange(first, count);
    const Matrix logits = a.logits.rowRange(0, count);
    if (!logitsKept) ops_.linearForward(input, value(*head_), logits, Write::kReplace);
    ops_.crossEntropyBackward(logits, a.targets() + first, a.lossLse + first, scale);
    ops_.linearBackwardWeight(logits, input, gradient(*head_));
    ops_.linearBackwardInput(logits, value(*head_), a.dNorm.rowRange(first, count), Write::kReplace);
  }
  if (onReady && head_ != embedding_) onReady(*head_);
  ops_.zero(a.stream.data, static_cast<std::size_t>(rows * config_.hidden) * sizeof(float));
  ops_.rmsNormBackward(a.dNorm, a.xhatFinal, a.rstdFinal, value(*finalNorm_).data, a.stream, gradient(*finalNorm_).data);
  if (onReady) onReady(*finalNorm_);
}

void Llama::restore(std::size_t index) {
  Activations& a = activations_;
  LayerActivations& saved = a.layer(index);
  options_.keeper->restore(index, saved);
  if (!options_.keeper->recomputesStatistics()) return;
  const AttentionShape shape{a.batch(), a.seqLen(), a.seqLen(), config_.heads, config_.kvHeads, config_.headDim};
  ops_.attentionForward(shape, saved.q, saved.k, saved.v, a.dO, saved.lse);  // dO: not needed yet
}

// In activations_.stream: the gradient of the layer's output before, of its input after.
void Llama::layerBackward(std::size_t index, const GradReady& onReady) {
  const LayerWeights& w = layers_[index];
  LayerActivations& saved = activations_.layer(index);
  Activations& a = activations_;
  const AttentionShape shape{a.batch(), a.seqLen(), a.seqLen(), config_.heads, config_.kvHeads, config_.headDim};
  const auto weightGradient = [&](ConstMatrix dy, ConstMatrix x, const Parameter& p) {
    ops_.linearBackwardWeight(dy, x, gradient(p));
    if (onReady) onReady(p);
  };

  ops_.swigluForward(saved.gate, saved.up, a.product);
  weightGradient(a.stream, a.product, *w.down);
  ops_.linearBackwardInput(a.stream, value(*w.down), a.dProduct, Write::kReplace);
  ops_.swigluBackward(saved.gate, saved.up, a.dProduct, saved.gate, saved.up);
  ops_.rmsNormScale(saved.xhat2, value(*w.postNorm).data, a.norm);
  weightGradient(saved.gate, a.norm, *w.gate);
  weightGradient(saved.up, a.norm, *w.up);
  ops_.linearBackwardInput(saved.gate, value(*w.gate), a.dNorm, Write::kReplace);
  ops_.linearBackwardInput(saved.up, value(*w.up), a.dNorm, Write::kAdd);
  ops_.rmsNormBackward(a.dNorm, saved.xhat2, saved.rstd2, value(*w.postNorm).data, a.stream, gradient(*w.postNorm).data);
  if (onReady) onReady(*w.postNorm);

  weightGradient(a.stream, saved.o, *w.o);
  ops_.linearBackwardInput(a.stream, value(*w.o), a.dO, Write::kReplace);
  ops_.attentionBackward(shape, saved.q, saved.k, saved.v, saved.o, saved.lse, a.dO, a.dQ, a.dK, a.dV);
  ops_.ropeBackward(a.dQ, rope_.table(), 0, a.seqLen());
  ops_.ropeBackward(a.dK, rope_.table(), 0, a.seqLen());
  ops_.rmsNormScale(saved.xhat1, value(*w.inputNorm).data, a.norm);
  weightGradient(a.dQ, a.norm, *w.q);
  weightGradient(a.dK, a.norm, *w.k);
  weightGradient(a.dV, a.norm, *w.v);
  ops_.linearBackwardInput(a.dQ, value(*w.q), a.dNorm, Write::kReplace);
  ops_.linearBackwardInput(a.dK, value(*w.k), a.dNorm, Write::kAdd);
  ops_.linearBackwardInput(a.dV, value(*w.v), a.dNorm, Write::kAdd);
  ops_.rmsNormBackward(a.dNorm, saved.xhat1, saved.rstd1, value(*w.inputNorm).data, a.stream, gradient(*w.inputNorm).data);
  if (onReady) onReady(*w.inputNorm);
}

void Llama::logits(std::span<const std::int32_t> tokens, std::int64_t batch, std::int64_t seqLen, std::span<float> out) {
  checkTokens(tokens, batch, seqLen);
  if (out.size() != tokens.size() * static_cast<std::size_t>(config_.vocab)) {
    failTrain("logits of ", tokens.size(), " tokens need room for ", tokens.size() * static_cast<std::size_t>(config_.vocab),
              " values, not ", out.size());
  }
  runLayers(tokens, batch, seqLen, nullptr);
  const std::int64_t rows = activations_.rows();
  for (std::int64_t first = 0; first < rows; first += activations_.chunkRows()) {
    const std::int64_t count = std::min(activations_.chunkRows(), rows - first);
    ops_.linearForward(activations_.normFinal.rowRange(first, count), value(*head_), activations_.logits.rowRange(0, count),
                       Write::kReplace);
    ops_.toHost(out.data() + first * config_.vocab, activations_.logits.data,
                static_cast<std::size_t>(count * config_.vocab) * sizeof(float));
  }
}

}  // namespace qccl::train
