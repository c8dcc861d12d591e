// Exchanges checkpoints with transformers, for live.sh:
//   trainer_interop write DIR      saves a random model as a checkpoint, and the logits of a fixed batch beside it (logits.safetensors)
//   trainer_interop compare A B    loads both checkpoints and tells whether the weights are the same bits (code 0 if so); B may be in
//   several files trainer_interop logits DIR     loads a checkpoint and writes DIR/logits.safetensors
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "io/checkpoint.hpp"
#include "model/cpu/cpu_ops.hpp"
#include "model/llama.hpp"

namespace qccl::train {
namespace {

ModelConfig interopConfig() {
  ModelConfig config;
  config.vocab = 97;
  config.hidden = 40;
  config.ffn = 53;
  config.layers = 3;
  config.heads = 4;
  config.kvHeads = 2;
  config.headDim = 10;
  config.maxSeq = 64;
  config.ropeTheta = 20000;
  config.bosToken = 0;
  config.eosToken = 1;
  return config;
}

// Tokens 0, 7, 14, ... of one sequence of 30, as check_interop.py makes them.
void writeLogits(Llama& model, const std::string& folder) {
  constexpr std::int64_t kLength = 30;
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < kLength; ++i) tokens.push_back(static_cast<std::int32_t>(7 * i % model.config().vocab));
  std::vector<float> logits(static_cast<std::size_t>(kLength * model.config().vocab));
  model.logits(tokens, 1, kLength, logits);
  writeSafetensors(folder + "/logits.safetensors", {{"logits", {1, kLength, model.config().vocab}, logits}});
}

int run(int argc, char** argv) {
  const std::string command = argc > 2 ? argv[1] : "";
  const auto ops = makeCpuOps();
  if (command == "write") {
    Llama model(interopConfig(), *ops);
    model.parameters().initialize(5, {.stddev = 0.2});
    saveModel(argv[2], model.config(), model.parameters());
    writeLogits(model, argv[2]);
    return 0;
  }
  if (command == "logits") {
    Llama model(loadConfig(argv[2]), *ops);
    loadModel(argv[2], model.parameters());
    writeLogits(model, argv[2]);
    return 0;
  }
  if (command == "compare" && argc > 3) {
    Parameters a(loadConfig(argv[2]), *ops), b(loadConfig(argv[3]), *ops);
    loadModel(argv[2], a);
    loadModel(argv[3], b);
    return a.values().size() == b.values().size() && std::memcmp(a.values().data(), b.values().data(), a.values().size_bytes()) == 0 ? 0
                                                                                                                                     : 1;
  }
  std::fprintf(stderr, "usage: trainer_interop write DIR | logits DIR | compare DIR DIR\n");
  return 2;
}

}  // namespace
}  // namespace qccl::train

int main(int argc, char** argv) {
  try {
    return qccl::train::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "trainer_interop: %s\n", error.what());
    return 2;
  }
}
