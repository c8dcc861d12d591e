#include "model/config.hpp"

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "model/error.hpp"

namespace qccl::train {
namespace {

using Json = nlohmann::json;

// Sizes above this are mistakes, and products of three of them still fit 64 bits.
constexpr std::int64_t kLargestSize = std::int64_t{1} << 21;

void requireSize(const char* name, std::int64_t value) {
  if (value < 1 || value > kLargestSize) failTrain("the model's ", name, " is ", value, "; it must be between 1 and ", kLargestSize);
}

void requirePositive(const char* name, double value) {
  if (!(value > 0) || !std::isfinite(value)) failTrain("the model's ", name, " is ", value, "; it must be a positive number");
}

bool present(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && !it->is_null();
}

std::int64_t integer(const Json& object, const char* key) {
  if (!present(object, key)) failTrain("config.json has no \"", key, "\"");
  const Json& value = object.at(key);
  if (!value.is_number_integer()) failTrain("config.json: \"", key, "\" is ", value.dump(), ", not an integer");
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    failTrain("config.json: \"", key, "\" is too large");
  }
  return value.get<std::int64_t>();
}

std::int64_t integerOr(const Json& object, const char* key, std::int64_t fallback) {
  return present(object, key) ? integer(object, key) : fallback;
}

double number(const Json& object, const char* key) {
  if (!present(object, key)) failTrain("config.json has no \"", key, "\"");
  if (!object.at(key).is_number()) failTrain("config.json: \"", key, "\" is ", object.at(key).dump(), ", not a number");
  return object.at(key).get<double>();
}

double numberOr(const Json& object, const char* key, double fallback) { return present(object, key) ? number(object, key) : fallback; }

bool boolOr(const Json& object, const char* key, bool fallback) {
  if (!present(object, key)) return fallback;
  if (!object.at(key).is_boolean()) failTrain("config.json: \"", key, "\" is ", object.at(key).dump(), ", not true or false");
  return object.at(key).get<bool>();
}

void refuseUnlessEqual(const Json& object, const char* key, const char* only) {
  if (present(object, key) && object.at(key) != only) {
    failTrain("config.json: \"", key, "\" is ", object.at(key).dump(), "; only \"", only, "\" is implemented");
  }
}

void refuseIfTrue(const Json& object, const char* key) {
  if (boolOr(object, key, false)) failTrain("config.json: \"", key, "\" is true; projections with biases are not implemented");
}

// The object that describes the rope: "rope_scaling" of older files, "rope_parameters" of newer ones (which also holds rope_theta).
RopeScaling parseScaling(const Json& rope) {
  RopeScaling scaling;
  if (!rope.is_object()) failTrain("config.json: the rope's description is ", rope.dump(), ", not an object");
  const char* typeKey = present(rope, "rope_type") ? "rope_type" : "type";
  if (!present(rope, typeKey)) return scaling;
  const Json& type = rope.at(typeKey);
  if (type == "default") return scaling;
  if (type == "linear") {
    scaling.kind = RopeScaling::Kind::kLinear;
    scaling.factor = number(rope, "factor");
  } else if (type == "llama3") {
    scaling.kind = RopeScaling::Kind::kLlama3;
    scaling.factor = number(rope, "factor");
    scaling.lowFreqFactor = number(rope, "low_freq_factor");
    scaling.highFreqFactor = number(rope, "high_freq_factor");
    scaling.originalMaxSeq = integer(rope, "original_max_position_embeddings");
  } else {
    failTrain("config.json: rope type ", type.dump(), " is not implemented; \"default\", \"linear\" and \"llama3\" are");
  }
  return scaling;
}

Json scalingJson(const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScaling::Kind::kNone:
      return Json{{"rope_type", "default"}};
    case RopeScaling::Kind::kLinear:
      return Json{{"rope_type", "linear"}, {"factor", scaling.factor}};
    case RopeScaling::Kind::kLlama3:
      return Json{{"rope_type", "llama3"},
                  {"factor", scaling.factor},
                  {"low_freq_factor", scaling.lowFreqFactor},
                  {"high_freq_factor", scaling.highFreqFactor},
                  {"original_max_position_embeddings", scaling.originalMaxSeq}};
  }
  failTrain("unknown kind of rope scaling");
}

// A list of tokens (Llama 3 has several ends) counts as its first.
std::int64_t tokenOr(const Json& object, const char* key) {
  if (present(object, key) && object.at(key).is_array()) {
    const Json& list = object.at(key);
    return !list.empty() && list.front().is_number_integer() ? list.front().get<std::int64_t>() : -1;
  }
  return integerOr(object, key, -1);
}

}  // namespace

std::int64_t ModelConfig::parameterCount() const {
  const std::int64_t attention = 2 * hidden * queryWidth() + 2 * hidden * kvWidth();
  const std::int64_t perLayer = attention + 3 * hidden * ffn + 2 * hidden;
  return layers * perLayer + vocab * hidden * (tied ? 1 : 2) + hidden;
}

double ModelConfig::trainFlopsPerToken(std::int64_t seqLen) const {
  const std::int64_t perLayer = 2 * hidden * queryWidth() + 2 * hidden * kvWidth() + 3 * hidden * ffn;
  return 6.0 * static_cast<double>(layers * perLayer + vocab * hidden) + 6.0 * static_cast<double>(layers * queryWidth() * seqLen);
}

void ModelConfig::validate() const {
  requireSize("vocab", vocab);
  requireSize("hidden", hidden);
  requireSize("ffn", ffn);
  requireSize("layers", layers);
  requireSize("heads", heads);
  requireSize("kvHeads", kvHeads);
  requireSize("headDim", headDim);
  requireSize("maxSeq", maxSeq);
  requireSize("heads * headDim", queryWidth());
  if (heads % kvHeads != 0) failTrain("the model has ", heads, " heads and ", kvHeads, " K/V heads; the second must divide the first");
  if (headDim % 2 != 0) failTrain("the model's headDim is ", headDim, "; rotary embedding needs an even number");
  requirePositive("ropeTheta", ropeTheta);
  requirePositive("normEps", normEps);
  if (ropeScaling.kind != RopeScaling::Kind::kNone) requirePositive("rope scaling factor", ropeScaling.factor);
  if (ropeScaling.kind == RopeScaling::Kind::kLlama3) {
    requirePositive("rope low_freq_factor", ropeScaling.lowFreqFactor);
    if (!(ropeScaling.highFreqFactor > ropeScaling.lowFreqFactor))
      failTrain("the rope's high_freq_factor must be above its low_freq_factor");
    requireSize("rope original_max_position_embeddings", ropeScaling.originalMaxSeq);
  }
}

ModelConfig ModelConfig::fromJson(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) failTrain("config.json is not valid JSON");
  if (!json.is_object()) failTrain("config.json does not hold an object");
  refuseUnlessEqual(json, "model_type", "llama");
  if (present(json, "architectures") && json.at("architectures") != Json::array({"LlamaForCausalLM"})) {
    failTrain("config.json: \"architectures\" is ", json.at("architectures").dump(), "; only LlamaForCausalLM is implemented");
  }
  refuseUnlessEqual(json, "hidden_act", "silu");
  refuseIfTrue(json, "attention_bias");
  refuseIfTrue(json, "mlp_bias");

  ModelConfig config;
  config.vocab = integer(json, "vocab_size");
  config.hidden = integer(json, "hidden_size");
  config.ffn = integer(json, "intermediate_size");
  config.layers = integer(json, "num_hidden_layers");
  config.heads = integer(json, "num_attention_heads");
  config.kvHeads = integerOr(json, "num_key_value_heads", config.heads);
  config.headDim = integerOr(json, "head_dim", config.heads > 0 ? config.hidden / config.heads : 0);
  config.maxSeq = integerOr(json, "max_position_embeddings", 2048);
  config.ropeTheta = numberOr(json, "rope_theta", 10000.0);
  config.normEps = numberOr(json, "rms_norm_eps", 1e-6);
  config.tied = boolOr(json, "tie_word_embeddings", false);
  config.bosToken = tokenOr(json, "bos_token_id");
  config.eosToken = tokenOr(json, "eos_token_id");
  if (present(json, "rope_scaling")) config.ropeScaling = parseScaling(json.at("rope_scaling"));
  if (present(json, "rope_parameters")) {
    config.ropeScaling = parseScaling(json.at("rope_parameters"));
    config.ropeTheta = numberOr(json.at("rope_parameters"), "rope_theta", config.ropeTheta);
  }
  config.validate();
  return config;
}

ModelConfig ModelConfig::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) failTrain("cannot read the model's configuration ", path);
  try {
    return fromJson(text.str());
  } catch (const TrainError& error) {
    failTrain(path, ": ", error.what());
  }
}

std::string ModelConfig::toJson() const {
  Json json = {{"architectures", {"LlamaForCausalLM"}},
               {"model_type", "llama"},
               {"vocab_size", vocab},
               {"hidden_size", hidden},
               {"intermediate_size", ffn},
               {"num_hidden_layers", layers},
               {"num_attention_heads", heads},
               {"num_key_value_heads", kvHeads},
               {"head_dim", headDim},
               {"max_position_embeddings", maxSeq},
               {"rope_theta", ropeTheta},
               {"rms_norm_eps", normEps},
               {"tie_word_embeddings", tied},
               {"hidden_act", "silu"},
               {"attention_bias", false},
               {"mlp_bias", false},
               {"bos_token_id", bosToken < 0 ? Json() : Json(bosToken)},
               {"eos_token_id", eosToken < 0 ? Json() : Json(eosToken)}};
  // Older releases of transformers read rope_theta and rope_scaling, newer ones rope_parameters.
  json["rope_scaling"] = ropeScaling.kind == RopeScaling::Kind::kNone ? Json() : scalingJson(ropeScaling);
  json["rope_parameters"] = scalingJson(ropeScaling);
  json["rope_parameters"]["rope_theta"] = ropeTheta;
  return json.dump(2) + "\n";
}

}  // namespace qccl::train
