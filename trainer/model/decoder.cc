#include "model/decoder.hpp"

#include <algorithm>

#include "model/error.hpp"

namespace qccl::train {

Decoder::Decoder(Llama& model, std::int64_t capacity) : model_(model), capacity_(capacity) {
  const ModelConfig& config = model.config();
  if (capacity < 1 || capacity > config.maxSeq) {
    failTrain("a context of ", capacity, " tokens was asked for; the model allows 1 to ", config.maxSeq);
  }
  const Parameters& parameters = model.parameters();
  const auto cacheElems = static_cast<std::size_t>(capacity * config.kvWidth());
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    layers_.push_back({Buffer<float>(model.ops(), cacheElems), Buffer<float>(model.ops(), cacheElems),
                       &parameters[prefix + "input_layernorm.weight"], &parameters[prefix + "self_attn.q_proj.weight"],
                       &parameters[prefix + "self_attn.k_proj.weight"], &parameters[prefix + "self_attn.v_proj.weight"],
                       &parameters[prefix + "self_attn.o_proj.weight"], &parameters[prefix + "post_attention_layernorm.weight"],
                       &parameters[prefix + "mlp.gate_proj.weight"], &parameters[prefix + "mlp.up_proj.weight"],
                       &parameters[prefix + "mlp.down_proj.weight"]});
  }
  embedding_ = &parameters["model.embed_tokens.weight"];
  finalNorm_ = &parameters["model.norm.weight"];
  head_ = config.tied ? embedding_ : &parameters["lm_head.weight"];
  tokens_ = Buffer<std::int32_t>(model.ops(), static_cast<std::size_t>(capacity));
  logits_.resize(static_cast<std::size_t>(config.vocab));
}

Matrix Decoder::weight(const Parameter& p) { return {model_.parameters().value(p).data(), p.rows(), p.cols()}; }

// Views for `rows` new tokens; memory grows with the longest append.
void Decoder::reserve(std::int64_t rows) {
  const ModelConfig& c = model_.config();
  const std::int64_t perRow = 3 * c.hidden + 2 * c.queryWidth() + 3 * c.ffn + 1 + c.heads;
  const auto needed = static_cast<std::size_t>(rows * perRow + c.vocab);
  if (needed > arena_.elems()) {
    arena_ = Buffer<float>();
    arena_ = Buffer<float>(model_.ops(), needed);
  }
  float* at = arena_.data();
  const auto take = [&](std::int64_t cols, std::int64_t count) {
    const Matrix m{at, count, cols};
    at += count * cols;
    return m;
  };
  scratch_.stream = take(c.hidden, rows);
  scratch_.xhat = take(c.hidden, rows);
  scratch_.norm = take(c.hidden, rows);
  scratch_.q = take(c.queryWidth(), rows);
  scratch_.o = take(c.queryWidth(), rows);
  scratch_.gate = take(c.ffn, rows);
  scratch_.up = take(c.ffn, rows);
  scratch_.product = take(c.ffn, rows);
  scratch_.rstd = take(1, rows).data;
  scratch_.lse = take(c.heads, rows).data;
  scratch_.logits = take(c.vocab, 1);
}

std::span<const float> Decoder::append(std::span<const std::int32_t> tokens) {
  const ModelConfig& config = model_.config();
  const auto rows = static_cast<std::int64_t>(tokens.size());
  if (rows == 0) failTrain("no tokens were given to continue from");
  if (rows > capacity_ - length_) failTrain(rows, " tokens do not fit a context of ", capacity_, " that holds ", length_);
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= config.vocab) failTrain("token ", token, " is not in the model's vocabulary of ", config.vocab);
  }
  Ops& ops = model_.ops();
  reserve(rows);
  ops.fromHost(tokens_.data(), tokens.data(), tokens.size_bytes());
  ops.embeddingForward(tokens_.data(), weight(*embedding_), scratch_.stream);
  for (Layer& layer : layers_) layerForward(layer, rows);
  length_ += rows;

  const Matrix last = scratch_.norm.rowRange(rows - 1, 1);
  ops.rmsNormForward(scratch_.stream.rowRange(rows - 1, 1), weight(*finalNorm_).data, static_cast<float>(config.normEps),
                     scratch_.xhat.rowRange(rows - 1, 1), scratch_.rstd, last);
  ops.linearForward(last, weight(*head_), scratch_.logits, Write::kReplace);
  ops.toHost(logits_.data(), scratch_.logits.data, logits_.size() * sizeof(float));
  return logits_;
}

void Decoder::layerForward(Layer& layer, std::int64_t rows) {
  const ModelConfig& c = model_.config();
  Ops& ops = model_.ops();
  Scratch& s = scratch_;
  const auto eps = static_cast<float>(c.normEps);
  const AttentionShape shape{1, rows, length_ + rows, c.heads, c.kvHeads, c.headDim};
  const Matrix keys{layer.keys.data(), shape.keyLen, c.kvWidth()};
  const Matrix values{layer.values.data(), shape.keyLen, c.kvWidth()};
  const Matrix newKeys = keys.rowRange(length_, rows);

  ops.rmsNormForward(s.stream, weight(*layer.inputNorm).data, eps, s.xhat, s.rstd, s.norm);
  ops.linearForward(s.norm, weight(*layer.q), s.q, Write::kReplace);
  ops.linearForward(s.norm, weight(*layer.k), newKeys, Write::kReplace);
  ops.linearForward(s.norm, weight(*layer.v), values.rowRange(length_, rows), Write::kReplace);
  ops.ropeForward(s.q, model_.rope().table(), length_, rows);
  ops.ropeForward(newKeys, model_.rope().table(), length_, rows);
  ops.attentionForward(shape, s.q, keys, values, s.o, s.lse);
  ops.linearForward(s.o, weight(*layer.o), s.stream, Write::kAdd);

  ops.rmsNormForward(s.stream, weight(*layer.postNorm).data, eps, s.xhat, s.rstd, s.norm);
  ops.linearForward(s.norm, weight(*layer.gate), s.gate, Write::kReplace);
  ops.linearForward(s.norm, weight(*layer.up), s.up, Write::kReplace);
  ops.swigluForward(s.gate, s.up, s.product);
  ops.linearForward(s.product, weight(*layer.down), s.stream, Write::kAdd);
}

std::vector<std::int32_t> generate(Llama& model, std::span<const std::int32_t> prompt, std::int64_t maxNew, const SamplerOptions& options,
                                   std::int32_t stopToken, const std::function<bool(std::int32_t)>& onToken) {
  if (prompt.empty()) failTrain("there is no prompt to continue: give at least one token");
  Sampler sampler(options);
  std::vector<std::int32_t> context(prompt.begin(), prompt.end());
  std::vector<std::int32_t> chosen;
  if (maxNew <= 0) return chosen;
  const std::int64_t wanted = static_cast<std::int64_t>(prompt.size()) + maxNew;
  Decoder decoder(model, std::min(wanted, model.config().maxSeq));

  std::span<const std::int32_t> pending = context;
  const auto keepLastHalf = [&] {
    decoder.reset();
    const auto kept = static_cast<std::size_t>(std::max<std::int64_t>(1, decoder.capacity() / 2));
    pending = std::span<const std::int32_t>(context).last(std::min(kept, context.size()));
  };
  if (static_cast<std::int64_t>(pending.size()) > decoder.capacity()) keepLastHalf();
  while (static_cast<std::int64_t>(chosen.size()) < maxNew) {
    const std::int32_t token = sampler.next(decoder.append(pending));
    if (token == stopToken) break;
    chosen.push_back(token);
    context.push_back(token);
    if (onToken && !onToken(token)) break;
    pending = std::span<const std::int32_t>(context).last(1);
    if (decoder.length() == decoder.capacity()) keepLastHalf();
  }
  return chosen;
}

}  // namespace qccl::train
