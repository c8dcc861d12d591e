#include "io/checkpoint.hpp"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/atomic_file.hpp"
#include "model/error.hpp"

namespace qccl::train {
namespace {

constexpr const char* kConfigFile = "config.json";
constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kStepsKey = "steps";

std::string join(const std::string& folder, const std::string& name) { return (std::filesystem::path(folder) / name).string(); }

void makeFolder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) failTrain("cannot create the folder ", folder, ": ", error.message());
}

std::string shapeText(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (const std::int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + ")";
}

void readTensor(const SafetensorsFile& file, const std::string& name, const std::vector<std::int64_t>& shape, std::span<float> out) {
  const TensorInfo& info = file.info(name);
  if (info.shape != shape)
    failTrain(file.path(), ": tensor ", name, " has shape ", shapeText(info.shape), "; the model needs ", shapeText(shape));
  file.readF32(name, out);
}

// Which file of a sharded checkpoint holds which tensor.
std::map<std::string, std::string> readIndex(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) failTrain("cannot read ", path);
  const nlohmann::json json = nlohmann::json::parse(text.str(), nullptr, false);
  if (!json.is_object() || !json.contains("weight_map") || !json.at("weight_map").is_object()) failTrain(path, " has no \"weight_map\"");
  std::map<std::string, std::string> shards;
  for (const auto& [name, shard] : json.at("weight_map").items()) {
    if (!shard.is_string()) failTrain(path, ": the file of ", name, " is no text");
    const auto fileName = shard.get<std::string>();
    if (std::filesystem::path(fileName).filename() != fileName) failTrain(path, ": ", fileName, " is not a file name in the same folder");
    shards[name] = fileName;
  }
  return shards;
}

}  // namespace

void saveModel(const std::string& folder, const ModelConfig& config, const Parameters& parameters, TensorType type) {
  makeFolder(folder);
  std::vector<TensorSource> tensors;
  for (const Parameter& p : parameters.list()) tensors.push_back({p.name, p.shape, parameters.value(p), type});
  writeSafetensors(join(folder, kModelFile), tensors, {{"format", "pt"}});
  writeFileAtomically(join(folder, kConfigFile), config.toJson());
}

ModelConfig loadConfig(const std::string& folder) { return ModelConfig::load(join(folder, kConfigFile)); }

void loadModel(const std::string& folder, Parameters& parameters) {
  if (std::filesystem::exists(join(folder, kModelFile)) || !std::filesystem::exists(join(folder, kIndexFile))) {
    const SafetensorsFile file(join(folder, kModelFile));
    for (const Parameter& p : parameters.list()) readTensor(file, p.name, p.shape, parameters.value(p));
    return;
  }
  const std::map<std::string, std::string> shards = readIndex(join(folder, kIndexFile));
  std::map<std::string, std::unique_ptr<SafetensorsFile>> open;
  for (const Parameter& p : parameters.list()) {
    const auto shard = shards.find(p.name);
    if (shard == shards.end()) failTrain(join(folder, kIndexFile), " does not say where ", p.name, " is");
    std::unique_ptr<SafetensorsFile>& file = open[shard->second];
    if (!file) file = std::make_unique<SafetensorsFile>(join(folder, shard->second));
    readTensor(*file, p.name, p.shape, parameters.value(p));
  }
}

void saveOptimizer(const std::string& folder, const Parameters& parameters, const AdamW& optimizer) {
  makeFolder(folder);
  std::vector<TensorSource> tensors;
  for (const Parameter& p : parameters.list()) {
    tensors.push_back({"m." + p.name, p.shape, optimizer.firstMoment().subspan(p.offsetElems, p.elems), TensorType::kF32});
    tensors.push_back({"v." + p.name, p.shape, optimizer.secondMoment().subspan(p.offsetElems, p.elems), TensorType::kF32});
  }
  writeSafetensors(join(folder, kOptimizerFile), tensors, {{"optimizer", "adamw"}, {kStepsKey, std::to_string(optimizer.steps())}});
}

void loadOptimizer(const std::string& folder, const Parameters& parameters, AdamW& optimizer) {
  const SafetensorsFile file(join(folder, kOptimizerFile));
  const auto found = file.metadata().find(kStepsKey);
  std::int64_t steps = -1;
  if (found != file.metadata().end()) {
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), steps);
    if (error != std::errc() || end != text.data() + text.size()) steps = -1;
  }
  if (steps < 0) failTrain(file.path(), " does not say after how many steps it was written");
  for (const Parameter& p : parameters.list()) {
    readTensor(file, "m." + p.name, p.shape, optimizer.firstMoment().subspan(p.offsetElems, p.elems));
    readTensor(file, "v." + p.name, p.shape, optimizer.secondMoment().subspan(p.offsetElems, p.elems));
  }
  optimizer.setSteps(steps);
}

}  // namespace qccl::train
