// The safetensors file format: a length, a JSON header, and one buffer that the tensors fill without gaps.
//
//   bytes 0..7    N, unsigned, little-endian
//   bytes 8..8+N  JSON object: name -> {"dtype", "shape", "data_offsets": [begin, end]}, offsets in bytes from the end of the header;
//   "__metadata__" -> strings.
//                 Begins with '{'; may end in spaces
//   rest          the values, little-endian, row-major
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qccl::train {

enum class TensorType { kF32, kF16, kBF16 };

struct TensorInfo {
  std::string dtype;  // as in the file; readF32 takes F32, F16 and BF16
  std::vector<std::int64_t> shape;
  std::uint64_t beginBytes = 0;  // in the buffer
  std::uint64_t endBytes = 0;
  std::uint64_t elems = 0;
};

// Reads one file. Opening checks the header against the file's size completely: names once, known types, shapes that fit their bytes,
// offsets that cover the buffer with no gap and no overlap. Whatever is wrong is a TrainError with the file's name; nothing is read outside
// the file.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& path() const { return path_; }
  const std::map<std::string, TensorInfo, std::less<>>& tensors() const { return tensors_; }
  const std::map<std::string, std::string, std::less<>>& metadata() const { return metadata_; }

  bool has(std::string_view name) const { return tensors_.find(name) != tensors_.end(); }
  const TensorInfo& info(std::string_view name) const;

  // Converts to FP32 (exactly). out.size() must be the tensor's elements.
  void readF32(std::string_view name, std::span<float> out) const;

 private:
  void parse(const std::string& header, std::uint64_t bufferBytes);

  std::string path_;
  int file_ = -1;
  std::uint64_t bufferStart_ = 0;
  std::map<std::string, TensorInfo, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

// One tensor to write; the values must live until writeSafetensors returns.
struct TensorSource {
  std::string name;
  std::vector<std::int64_t> shape;
  std::span<const float> values;
  TensorType type = TensorType::kF32;  // F16 and BF16: rounded to nearest, ties to even
};

// Writes beside `path` and renames when all is on disk: a reader sees the old file or the new one, never a part. Tensors lie in the order
// given.
void writeSafetensors(const std::string& path, const std::vector<TensorSource>& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace qccl::train
