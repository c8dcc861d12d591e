#include "info/library_facts.hpp"

#include <qccl/qccl.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "common/api.hpp"

namespace qccl::bench {
namespace {

std::string versionText() {
  int version = 0;
  check(qcclGetVersion(&version), "qcclGetVersion");
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
}

std::vector<std::pair<std::string, std::string>> readBuild() {
  const char* info = nullptr;
  check(qcclGetBuildInfo(&info), "qcclGetBuildInfo");
  std::vector<std::pair<std::string, std::string>> pairs;
  std::istringstream lines(info);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) pairs.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  return pairs;
}

std::string modelName() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

// The instruction sets that matter to the codec kernels.
std::string features() {
  std::string found;
#if defined(__x86_64__)
  const auto add = [&](bool has, const char* name) {
    if (has) found += (found.empty() ? "" : " ") + std::string(name);
  };
  add(__builtin_cpu_supports("avx2"), "avx2");
  add(__builtin_cpu_supports("fma"), "fma");
  add(__builtin_cpu_supports("avx512f"), "avx512f");
  add(__builtin_cpu_supports("avx512bw"), "avx512bw");
  add(__builtin_cpu_supports("avx512dq"), "avx512dq");
  add(__builtin_cpu_supports("avx512vl"), "avx512vl");
#endif
  return found.empty() ? "none that the kernels use" : found;
}

std::vector<double> boundsOf(qcclAlgo_t algorithm, qcclRounding_t rounding) {
  std::vector<double> bounds;
  for (const int ranks : kBoundRanks) {
    double factor = 0;
    check(qcclGetErrorBound(algorithm, qcclCodecInt8, qcclScaleFloat32, rounding, ranks, &factor), "qcclGetErrorBound");
    bounds.push_back(factor);
  }
  return bounds;
}

std::vector<AlgorithmRow> readAlgorithms() {
  std::vector<AlgorithmRow> rows;
  qcclAlgoInfo_t info;
  for (int index = 0; qcclGetAlgorithmInfo(index, &info) == qcclSuccess; ++index) {
    const auto algorithm = static_cast<qcclAlgo_t>(info.algorithm);
    rows.push_back({info.name, info.summary, info.wireBytes, info.quantizations, info.bestFor, boundsOf(algorithm, qcclRoundNearest),
                    boundsOf(algorithm, qcclRoundStochastic)});
  }
  return rows;
}

}  // namespace

std::vector<Setting> readSettingTable() {
  std::vector<Setting> settings;
  qcclSettingInfo_t info;
  qcclResult_t result = qcclSuccess;
  for (int index = 0; (result = qcclGetSettingInfo(index, &info)) == qcclSuccess; ++index) {
    // A page that people paste into reports must not give the secret away.
    const bool secret = std::string(info.name) == "QCCL_SECRET" && info.isSet != 0;
    settings.push_back({info.name, info.type, info.defaultValue, secret ? "(set, not shown)" : info.value, info.unit, info.allowed,
                        info.doc, info.isSet != 0});
  }
  // Row 0 exists, so a failure there is a bad value in the environment and not the end of the table.
  if (settings.empty()) check(result, "the settings");
  return settings;
}

std::string readTuningTable() {
  const char* text = nullptr;
  check(qcclGetTuningTable(nullptr, &text), "qcclGetTuningTable");
  return std::string("# collective memory path ranks ranksPerHost dtype asked upToBytes codec algorithm requested\n") + text;
}

LibraryFacts readLibraryFacts() {
  LibraryFacts facts;
  facts.version = versionText();
  facts.build = readBuild();
  facts.cpu = {{"model", modelName()}, {"processors", std::to_string(std::thread::hardware_concurrency())}, {"features", features()}};
  facts.settings = readSettingTable();
  facts.algorithms = readAlgorithms();
  facts.tuning = readTuningTable();
  return facts;
}

}  // namespace qccl::bench
