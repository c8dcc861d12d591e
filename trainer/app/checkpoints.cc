#include "app/checkpoints.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/atomic_file.hpp"
#include "model/error.hpp"

namespace qccl::train {

namespace {

namespace fs = std::filesystem;

constexpr const char* kMarker = "COMPLETE";
constexpr const char* kTemporary = ".writing-";

std::string nameOf(std::int64_t step) {
  char name[32];
  std::snprintf(name, sizeof(name), "step-%08lld", static_cast<long long>(step));
  return name;
}

// -1 if the name is not one of ours.
std::int64_t stepOf(const std::string& name) {
  if (name.size() < 13 || name.compare(0, 5, "step-") != 0) return -1;
  std::int64_t step = 0;
  for (const char digit : name.substr(5)) {
    if (digit < '0' || digit > '9') return -1;
    step = step * 10 + (digit - '0');
  }
  return step;
}

// To the disk: a file's contents, or a folder's entries.
void flush(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool ok = fd >= 0 && ::fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!ok) failTrain("cannot flush ", path, " to disk: ", std::strerror(error));
}

}  // namespace

Checkpoints::Checkpoints(std::string runFolder) : folder_(std::move(runFolder) + "/checkpoints") {}

Checkpoint Checkpoints::save(std::int64_t step, std::int64_t keep, const std::function<void(const std::string&)>& write) const {
  const std::string target = folder_ + "/" + nameOf(step);
  const std::string temporary = folder_ + "/" + kTemporary + nameOf(step);
  try {
    fs::remove_all(temporary);
    fs::create_directories(temporary);
    write(temporary);
    nlohmann::ordered_json files = nlohmann::ordered_json::object();
    std::vector<fs::path> written;
    for (const auto& entry : fs::directory_iterator(temporary)) written.push_back(entry.path());
    std::sort(written.begin(), written.end());
    for (const fs::path& file : written) {
      flush(file.string());
      files[file.filename().string()] = fs::file_size(file);
    }
    flush(temporary);
    fs::remove_all(target);  // the same step of an earlier attempt
    fs::rename(temporary, target);
    writeFileAtomically(target + "/" + kMarker, nlohmann::ordered_json{{"step", step}, {"files", files}}.dump(2) + "\n");
    flush(target);
    flush(folder_);
  } catch (const fs::filesystem_error& error) {
    failTrain("cannot save the checkpoint ", target, ": ", error.code().message());
  }
  std::vector<Checkpoint> all = list();
  std::error_code ignored;
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep) < all.size(); ++i) fs::remove_all(all[i].folder, ignored);
  return {step, target};
}

std::vector<Checkpoint> Checkpoints::list() const {
  std::vector<Checkpoint> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    const std::int64_t step = stepOf(entry.path().filename().string());
    if (step >= 0 && isCompleteCheckpoint(entry.path().string())) found.push_back({step, entry.path().string()});
  }
  std::sort(found.begin(), found.end(), [](const Checkpoint& a, const Checkpoint& b) { return a.step < b.step; });
  return found;
}

std::optional<Checkpoint> Checkpoints::latest() const {
  const std::vector<Checkpoint> all = list();
  if (all.empty()) return std::nullopt;
  return all.back();
}

void Checkpoints::removeAll() const {
  std::error_code error;
  std::vector<fs::path> ours;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    if (stepOf(name) >= 0 || name.starts_with(kTemporary)) ours.push_back(entry.path());
  }
  for (const fs::path& path : ours) {
    fs::remove_all(path, error);
    if (error) failTrain("cannot remove the old checkpoint ", path.string(), ": ", error.message());
  }
}

bool isCompleteCheckpoint(const std::string& folder) {
  std::ifstream file(folder + "/" + kMarker);
  const auto marker = nlohmann::json::parse(file, nullptr, false);
  if (!marker.is_object() || !marker.contains("files") || !marker["files"].is_object()) return false;
  for (const auto& [name, size] : marker["files"].items()) {
    std::error_code error;
    const auto actual = fs::file_size(folder + "/" + name, error);
    if (error || !size.is_number_unsigned() || actual != size.get<std::uintmax_t>()) return false;
  }
  return true;
}

std::string findCheckpoint(const std::string& path) {
  if (const auto latest = Checkpoints(path).latest()) return latest->folder;
  if (fs::exists(path + "/" + kMarker) && !isCompleteCheckpoint(path)) {
    failTrain("the checkpoint ", path, " is damaged: its files do not have the sizes that its ", kMarker, " file says");
  }
  if (fs::exists(path + "/config.json")) return path;
  failTrain("there is no checkpoint in ", path, "; give a run's folder, or a folder with config.json and model.safetensors");
}

}  // namespace qccl::train
