// The log of a run: one JSON object a line ("kind": config, activations, step, eval, done). Written down in docs/trainer.md.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace qccl::train {

using LogRecord = nlohmann::ordered_json;

// Appends lines. Each is one write() to a file opened for appending, so that a line is there whole or, if the machine dies, torn at the
// very end; a torn line left by an earlier process is ended first, so that it spoils no other.
class RunLog {
 public:
  // Throws TrainError naming the file.
  explicit RunLog(const std::string& path);
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  void append(const LogRecord& record);

 private:
  std::string path_;
  int fd_ = -1;
};

}  // namespace qccl::train
