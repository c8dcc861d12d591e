// A file mapped into memory for reading.
#pragma once

#include <cstddef>
#include <string>

namespace qccl::train {

class MappedFile {
 public:
  // Throws TrainError naming the file.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const unsigned char* data() const { return data_; }
  std::size_t sizeBytes() const { return sizeBytes_; }

 private:
  const unsigned char* data_ = nullptr;  // nullptr for an empty file
  std::size_t sizeBytes_ = 0;
};

}  // namespace qccl::train
