// The checkpoints of a run: <out>/checkpoints/step-00000100/ and so on.
//
// A checkpoint is written under another name, flushed, renamed, and marked complete by the file COMPLETE, which names every other file with
// its size and is written last. Readers take a folder only if the marker is there and the sizes agree; so a crash at any moment leaves the
// checkpoint before it as the latest.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace qccl::train {

struct Checkpoint {
  std::int64_t step = 0;
  std::string folder;
};

class Checkpoints {
 public:
  explicit Checkpoints(std::string runFolder);

  // `write` fills the folder that it is given. Keeps the `keep` latest checkpoints and removes older ones; a checkpoint of the same step is
  // replaced. Throws TrainError; then the earlier checkpoints are untouched.
  Checkpoint save(std::int64_t step, std::int64_t keep, const std::function<void(const std::string& folder)>& write) const;

  // Complete ones, by step.
  std::vector<Checkpoint> list() const;
  std::optional<Checkpoint> latest() const;

  // All of them, and what an interrupted save left behind.
  void removeAll() const;

 private:
  std::string folder_;
};

bool isCompleteCheckpoint(const std::string& folder);

// What eval and generate are given: a checkpoint's folder, a folder that other software wrote (config.json, model.safetensors), or a run's
// folder, whose latest complete checkpoint is meant. Throws TrainError if it is none of these.
std::string findCheckpoint(const std::string& path);

}  // namespace qccl::train
