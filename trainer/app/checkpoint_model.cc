#include "app/checkpoint_model.hpp"

#include <algorithm>
#include <thread>

#include "data/loader.hpp"
#include "io/checkpoint.hpp"
#include "model/cpu/cpu_ops.hpp"
#include "model/error.hpp"

namespace qccl::train {

ModelConfig loadConfigFor(const std::string& folder, const TokenFile& file) {
  ModelConfig config = loadConfig(folder);
  if (static_cast<std::int64_t>(file.info().vocab) > config.vocab) {
    failTrain("the model has ", config.vocab, " tokens and the data ", file.info().vocab, "; they do not belong together");
  }
  return config;
}

std::unique_ptr<Ops> makeOps(int threads) {
  return makeCpuOps({threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))});
}

TokenBatch firstWindows(const TokenFile& file, std::int64_t sequences, std::int64_t seqLen) {
  Batch batch;
  const std::size_t rows = readWindows(file, static_cast<std::size_t>(seqLen), 0, static_cast<std::size_t>(sequences), batch);
  if (rows == 0)
    failTrain(file.path(), " has ", file.info().tokens, " tokens, too few for one sequence of ", seqLen, "; take a smaller --seq");
  return {std::move(batch.inputs), std::move(batch.targets), static_cast<std::int64_t>(rows), seqLen};
}

}  // namespace qccl::train
