// The shape of a LLaMA model, and Hugging Face's config.json for it.
#pragma once

#include <cstdint>
#include <string>

namespace qccl::train {

// How rotary frequencies are stretched beyond the length that the model was first trained on.
struct RopeScaling {
  enum class Kind { kNone, kLinear, kLlama3 };
  Kind kind = Kind::kNone;
  double factor = 1.0;
  // Llama 3 only: wavelengths below originalMaxSeq / highFreqFactor stay, above originalMaxSeq / lowFreqFactor are stretched by factor,
  // between is blended.
  double lowFreqFactor = 1.0;
  double highFreqFactor = 4.0;
  std::int64_t originalMaxSeq = 8192;

  bool operator==(const RopeScaling&) const = default;
};

struct ModelConfig {
  std::int64_t vocab = 0;
  std::int64_t hidden = 0;
  std::int64_t ffn = 0;  // width of the gated MLP
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kvHeads = 0;  // divides heads; each K/V head serves heads / kvHeads query heads
  std::int64_t headDim = 0;  // even; heads * headDim need not be hidden
  std::int64_t maxSeq = 2048;
  double ropeTheta = 10000.0;
  RopeScaling ropeScaling;
  double normEps = 1e-5;
  bool tied = false;  // the output head is the embedding table
  // Written to config.json for other programs; -1: none.
  std::int64_t bosToken = -1;
  std::int64_t eosToken = -1;

  std::int64_t queryWidth() const { return heads * headDim; }
  std::int64_t kvWidth() const { return kvHeads * headDim; }

  // Trainable values; a tied table counts once.
  std::int64_t parameterCount() const;

  // Floating-point operations of forward and backward for one token at the given sequence length: 6 for each weight of a matrix product
  // (the head included, the embedding look-up not), plus 6 * layers * queryWidth * seqLen for causal attention.
  double trainFlopsPerToken(std::int64_t seqLen) const;

  // Throws TrainError that names the field.
  void validate() const;

  // Parses config.json. Refuses, with a sentence, what would make the result differ from LlamaForCausalLM: another architecture or
  // activation, biases, an unknown rope type. Unknown keys are ignored.
  static ModelConfig fromJson(const std::string& text);
  static ModelConfig load(const std::string& path);

  // A config.json that transformers loads as LlamaForCausalLM.
  std::string toJson() const;

  bool operator==(const ModelConfig&) const = default;
};

}  // namespace qccl::train
