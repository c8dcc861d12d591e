#include "api/comm_config.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>

#include "core/error.hpp"
#include "core/log.hpp"

namespace qccl::api {
namespace {

// As far as the caller's struct reaches; fields that its version did not know stay at "undefined".
qcclConfig_t readConfig(const qcclConfig_t* config) {
  qcclConfig_t known = QCCL_CONFIG_INITIALIZER;
  if (config == nullptr) return known;
  std::size_t size = 0;
  std::memcpy(&size, config, sizeof(size));
  if (size < offsetof(qcclConfig_t, name) || size > 4096 || config->magic != QCCL_CONFIG_MAGIC) {
    fail(qcclInvalidArgument, "the qcclConfig_t was not initialized; start from `qcclConfig_t config = QCCL_CONFIG_INITIALIZER;`");
  }
  std::memcpy(&known, config, std::min(size, sizeof(known)));
  return known;
}

void warnOfUnknownSettings() {
  static std::once_flag once;
  std::call_once(once, [] {
    for (const std::string& name : unknownSettings()) {
      log(LogLevel::warn, name, " is set in the environment, but qccl has no such setting; `qccl-info --config` lists them");
    }
  });
}

}  // namespace

CommConfig resolveConfig(const qcclConfig_t* userConfig) {
  static std::atomic<int> made{0};
  const qcclConfig_t config = readConfig(userConfig);
  CommConfig result;
  result.settings = readSettings();
  warnOfUnknownSettings();
  if (config.transport != nullptr) {
    result.settings.transport = config.transport;
    if (result.settings.transport != "auto" && result.settings.transport != "inproc" && result.settings.transport != "ucx") {
      fail(qcclInvalidArgument, "qcclConfig_t.transport = \"", config.transport, "\" is not one of auto, inproc, ucx");
    }
  }
  if (config.timeoutMs != QCCL_UNDEF_INT) {
    if (config.timeoutMs <= 0) fail(qcclInvalidArgument, "qcclConfig_t.timeoutMs = ", config.timeoutMs, " must be positive");
    result.settings.timeoutMs = config.timeoutMs;
  }
  collectives::QuantDefaults environment;
  environment.quant.codec = static_cast<qcclCodec_t>(result.settings.codec);
  environment.quant.blockElems = static_cast<std::size_t>(result.settings.blockElems);
  environment.quant.scale = static_cast<qcclScale_t>(result.settings.scale);
  environment.quant.errorFeedback = result.settings.errorFeedback;
  environment.quant.algorithm = static_cast<qcclAlgo_t>(result.settings.algorithm);
  environment.quant.rounding = static_cast<qcclRounding_t>(result.settings.rounding);
  environment.quant.ranksPerHost = result.settings.ranksPerHost;
  environment.minBytes = result.settings.minBytes;
  environment.quant.inspectEvery = result.settings.inspectEvery;
  environment.minSnrDb = result.settings.minSnrDb;

  collectives::CommunicatorOptions& options = result.options;
  options.name = config.name != nullptr ? std::string(config.name) : strCat("comm", made++);
  options.quant = collectives::resolve(config.quant, environment);
  options.executor.tileBytes = result.settings.tileBytes;
  options.executor.tilesInFlight = result.settings.tilesInFlight;
  options.threadBlocks = result.settings.threadBlocks;
  options.gpuPath = result.settings.gpuPath;
  options.ncclLibrary = result.settings.ncclLibrary;
  options.ncclTileBytes = result.settings.ncclTileBytes;
  options.executor.timeout = std::chrono::milliseconds(result.settings.timeoutMs);
  return result;
}

}  // namespace qccl::api
