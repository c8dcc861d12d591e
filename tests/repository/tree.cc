#include "repository/tree.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "support/process.hpp"

namespace qccl::test {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = QCCL_SOURCE_FOLDER;

std::vector<std::string> listByGit() {
  const ProcessResult listed = runProcess({"git", "-C", kRoot.string(), "ls-files", "-z", "--cached", "--others", "--exclude-standard"});
  if (listed.exitCode != 0) return {};
  std::vector<std::string> files;
  std::istringstream names(listed.out);
  for (std::string name; std::getline(names, name, '\0');) {
    if (fs::is_regular_file(kRoot / name)) files.push_back(name);  // not when deleted but not yet committed
  }
  return files;
}

std::vector<std::string> listByWalking() {
  constexpr std::array kOutputs = {"build", "demo", ".git", ".cache"};
  std::vector<std::string> files;
  for (auto entry = fs::recursive_directory_iterator(kRoot); entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string path = entry->path().lexically_relative(kRoot).generic_string();
    if (std::find(kOutputs.begin(), kOutputs.end(), path) != kOutputs.end()) entry.disable_recursion_pending();
    if (entry->is_regular_file()) files.push_back(path);
  }
  return files;
}

std::vector<std::string> listFiles() {
  std::vector<std::string> files = fs::exists(kRoot / ".git") ? listByGit() : std::vector<std::string>();
  if (files.empty()) files = listByWalking();
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

}  // namespace

const std::vector<std::string>& treeFiles() {
  static const std::vector<std::string> files = listFiles();
  return files;
}

std::string readTreeFile(const std::string& path) {
  std::ifstream file(kRoot / path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + (kRoot / path).string());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool isSource(const std::string& path) {
  constexpr std::array kEndings = {".cc", ".hpp", ".h", ".c", ".cu", ".cuh"};
  return std::any_of(kEndings.begin(), kEndings.end(), [&](const char* ending) { return path.ends_with(ending); });
}

}  // namespace qccl::test
