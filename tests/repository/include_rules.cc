#include "repository/include_rules.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <sstream>

namespace qccl::test {
namespace {

using std::string;

// Layers of src/ and what each may include besides itself and include/qccl. A folder that is not here is a violation by itself.
const std::map<string, std::set<string>>& layerTable() {
  static const std::map<string, std::set<string>> table = {
      {"core", {}},
      {"device", {"core"}},
      {"quant", {"core", "device"}},
      {"transport", {"core", "device"}},
      {"memory", {"core", "device", "quant"}},
      {"collectives", {"core", "device", "quant", "transport"}},
      {"api", {"core", "device", "quant", "transport", "memory", "collectives"}},
  };
  return table;
}

// Headers that define the format and the codec for host and device alike: they include core and one another, nothing else of src/.
constexpr std::array kSharedQuantHeaders = {"src/quant/wire_format.hpp", "src/quant/codec.hpp", "src/quant/float_formats.hpp",
                                            "src/quant/noise.hpp"};

// Folders whose files see the library only as its users do.
constexpr std::array kOutsiders = {"bench", "trainer", "plugins"};

// Benchmarks of one layer, which have no public interface to go through: like that layer's tests they see it and what it may see.
const std::map<string, string>& layerBenchmarks() {
  static const std::map<string, string> table = {{"bench/codec/", "quant"}, {"bench/memory/", "memory"}};
  return table;
}

// Headers of other projects, and the folders (prefixes of paths) that may include them.
struct Foreign {
  const char* pattern;  // matched against what stands between the brackets
  std::vector<string> allowedIn;
};

const std::vector<Foreign>& foreignTable() {
  static const std::vector<Foreign> table = {
      {"(ucp|uct|ucs|ucm)/.*", {"src/transport/"}},
      {"hwloc.*", {"src/transport/"}},
      {"(cuda|cublas|cudnn|nvrtc|nvml|cooperative_groups).*|nccl.*",
       {"src/device/cuda/", "src/quant/cuda/", "src/transport/cuda_ipc/", "src/transport/nccl/", "src/memory/cuda/",
        "src/collectives/cuda/", "plugins/", "trainer/cuda/", "bench/perf/cuda/", "bench/memory/cuda/"}},
      {"(CLI|nlohmann|fmt|spdlog)/.*", {"bench/", "trainer/", "plugins/"}},
      {"(gtest|gmock)/.*", {}},
      {"benchmark/.*", {"bench/"}},
  };
  return table;
}

string firstFolder(const string& path) { return path.substr(0, path.find('/')); }

// "src/quant/cpu/x.cc" -> "quant"; empty for a file directly in src/ or elsewhere.
string layerOf(const string& path) {
  if (!path.starts_with("src/")) return "";
  const string rest = path.substr(4);
  return rest.find('/') == string::npos ? "" : firstFolder(rest);
}

// The file of the tree that an include means, looked for as the compiler does: beside the including file, then in the include folders of
// its target. An include that names a layer of src/ counts as such even when the file does not exist (yet).
std::optional<string> resolve(const string& file, const string& included, const std::function<bool(const string&)>& exists) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  const std::vector<std::filesystem::path> candidates = {folder / included, std::filesystem::path(firstFolder(file)) / included,
                                                         std::filesystem::path("include") / included,
                                                         std::filesystem::path("src") / included, included};
  for (const std::filesystem::path& candidate : candidates) {
    const string path = candidate.lexically_normal().generic_string();
    if (exists(path)) return path;
  }
  if (included.find('/') != string::npos && layerTable().contains(firstFolder(included))) return "src/" + included;
  return std::nullopt;
}

bool isLayerBenchmarkOf(const string& file, const string& targetLayer) {
  return std::any_of(layerBenchmarks().begin(), layerBenchmarks().end(), [&](const auto& row) {
    return file.starts_with(row.first) && (targetLayer == row.second || layerTable().at(row.second).contains(targetLayer));
  });
}

// The broken rule, or empty.
string brokenByTarget(const string& file, const string& target) {
  const string targetLayer = layerOf(target);
  const bool targetInternal = target.starts_with("src/");
  if (file.starts_with("include/"))
    return target.starts_with("include/qccl/") ? "" : "public headers include only the C library and include/qccl";
  if (std::find(kOutsiders.begin(), kOutsiders.end(), firstFolder(file)) != kOutsiders.end()) {
    if (targetInternal && isLayerBenchmarkOf(file, targetLayer)) return "";
    if (targetInternal) return firstFolder(file) + " uses include/qccl only, nothing of src/";
    if (!target.starts_with("include/") && firstFolder(target) != firstFolder(file))
      return firstFolder(file) + " includes its own files and include/qccl only";
    return "";
  }
  if (target.starts_with("include/")) return "";
  if (!targetInternal) return "src/ includes nothing of " + firstFolder(target) + "/";
  const string layer = layerOf(file);
  if (std::find(kSharedQuantHeaders.begin(), kSharedQuantHeaders.end(), file) != kSharedQuantHeaders.end()) {
    const bool shared = std::find(kSharedQuantHeaders.begin(), kSharedQuantHeaders.end(), target) != kSharedQuantHeaders.end();
    return shared || targetLayer == "core" ? "" : "the headers of format and codec include core and one another only";
  }
  if (layer == targetLayer || layerTable().at(layer).contains(targetLayer)) return "";
  return "src/" + layer + " may not include src/" + targetLayer;
}

string brokenByForeign(const string& file, const string& included) {
  for (const Foreign& foreign : foreignTable()) {
    if (!std::regex_match(included, std::regex(foreign.pattern))) continue;
    const bool allowed =
        std::any_of(foreign.allowedIn.begin(), foreign.allowedIn.end(), [&](const string& prefix) { return file.starts_with(prefix); });
    if (!allowed) return "this library may not be used here";
  }
  return "";
}

}  // namespace

string Violation::describe() const {
  std::ostringstream text;
  text << file << ":" << line << ": #include of " << included << ": " << rule;
  return text.str();
}

std::vector<Violation> checkIncludes(const string& file, const string& text, const std::function<bool(const string&)>& exists) {
  std::vector<Violation> violations;
  if (file.starts_with("src/") && !layerTable().contains(layerOf(file))) {
    violations.push_back({file, 0, "anything", "this folder is no layer of src/ (the table is in tests/repository/include_rules.cc)"});
    return violations;
  }
  static const std::regex directive(R"re(^\s*#\s*include\s*(["<])([^">]+)[">].*)re");
  std::istringstream lines(text);
  int number = 0;
  for (string line; std::getline(lines, line);) {
    ++number;
    std::smatch match;
    if (!std::regex_match(line, match, directive)) continue;
    const string included = match[2];
    const std::optional<string> target = resolve(file, included, exists);
    string rule = target ? brokenByTarget(file, *target) : "";
    if (rule.empty() && !target && match[1] == "<") rule = brokenByForeign(file, included);
    if (rule.empty() && !target && match[1] == "\"") rule = "no such file in the tree; includes of other projects stand in angle brackets";
    if (!rule.empty()) violations.push_back({file, number, included, rule});
  }
  return violations;
}

}  // namespace qccl::test
