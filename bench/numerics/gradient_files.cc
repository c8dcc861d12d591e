#include "numerics/gradient_files.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "common/api.hpp"

namespace qccl::bench::numerics {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{1} << 24;

struct Range {
  std::uint64_t begin = 0;  // bytes of the file's buffer
  std::uint64_t end = 0;
};

// Where the matrices lie, in order.
std::vector<Range> matrixRanges(const nlohmann::json& header, std::uint64_t bufferBytes, const std::string& path) {
  std::vector<Range> ranges;
  for (const auto& [name, tensor] : header.items()) {
    if (name == "__metadata__" || tensor.at("shape").size() < 2) continue;
    if (tensor.at("dtype") != "F32") throw ToolError(path + ": tensor " + name + " is not F32");
    const Range range{tensor.at("data_offsets").at(0).get<std::uint64_t>(), tensor.at("data_offsets").at(1).get<std::uint64_t>()};
    if (range.begin > range.end || range.end > bufferBytes || (range.end - range.begin) % sizeof(float) != 0)
      throw ToolError(path + ": tensor " + name + " does not lie in the file");
    ranges.push_back(range);
  }
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  return ranges;
}

}  // namespace

std::vector<CapturedStep> findGradients(const std::string& folder) {
  std::map<std::int64_t, std::map<int, std::string>> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    long long step = 0;
    int rank = 0, end = 0;
    const std::string name = entry.path().filename().string();
    if (std::sscanf(name.c_str(), "step-%lld-rank-%d.safetensors%n", &step, &rank, &end) == 2 &&
        static_cast<std::size_t>(end) == name.size())
      found[step][rank] = entry.path().string();
  }
  if (error) throw ToolError("--gradients " + folder + ": " + error.message());
  if (found.empty())
    throw ToolError("--gradients " + folder + ": holds no step-N-rank-R.safetensors; make them with qccl-train train --save-gradients");
  std::vector<CapturedStep> steps;
  for (const auto& [step, ranks] : found) {
    CapturedStep captured{step, {}};
    for (const auto& [rank, path] : ranks) {
      if (rank != static_cast<int>(captured.paths.size()))
        throw ToolError("--gradients " + folder + ": rank " + std::to_string(captured.paths.size()) + " of step " + std::to_string(step) +
                        " is missing");
      captured.paths.push_back(path);
    }
    steps.push_back(captured);
  }
  return steps;
}

std::vector<float> readGradients(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t headerBytes = 0;
  file.read(reinterpret_cast<char*>(&headerBytes), sizeof(headerBytes));
  const std::uint64_t fileBytes = file ? fs::file_size(path) : 0;
  if (!file || headerBytes > kMaxHeaderBytes || sizeof(headerBytes) + headerBytes > fileBytes)
    throw ToolError(path + ": is not a safetensors file");
  std::string text(headerBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  const std::uint64_t start = sizeof(headerBytes) + headerBytes;
  std::vector<float> values;
  try {
    for (const Range& range : matrixRanges(nlohmann::json::parse(text), fileBytes - start, path)) {
      const std::size_t before = values.size();
      values.resize(before + (range.end - range.begin) / sizeof(float));
      file.seekg(static_cast<std::streamoff>(start + range.begin));
      file.read(reinterpret_cast<char*>(values.data() + before), static_cast<std::streamsize>(range.end - range.begin));
    }
  } catch (const nlohmann::json::exception&) {
    throw ToolError(path + ": its header is not what a safetensors file has");
  }
  if (!file || values.empty()) throw ToolError(path + ": cannot be read, or holds no matrix");
  return values;
}

}  // namespace qccl::bench::numerics
