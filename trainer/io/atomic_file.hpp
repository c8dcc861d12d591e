// Files that appear whole or not at all.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qccl::train {

// Writes to a temporary name in the same folder; commit() flushes to disk and renames. Without commit() the temporary file is removed.
// Errors are TrainErrors with the file's name.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  int file_ = -1;
};

void writeFileAtomically(const std::string& path, std::string_view contents);

}  // namespace qccl::train
