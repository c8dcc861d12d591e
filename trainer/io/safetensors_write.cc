#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "io/atomic_file.hpp"
#include "io/float16.hpp"
#include "io/safetensors.hpp"
#include "model/error.hpp"

namespace qccl::train {
namespace {

constexpr std::size_t kHeaderAlignBytes = 8;  // so that the values of a mapped file are aligned

const char* typeName(TensorType type) { return type == TensorType::kF32 ? "F32" : type == TensorType::kF16 ? "F16" : "BF16"; }

std::size_t typeBytes(TensorType type) { return type == TensorType::kF32 ? 4 : 2; }

std::string makeHeader(const std::vector<TensorSource>& tensors, const std::map<std::string, std::string>& metadata,
                       const std::string& path) {
  // ordered_json keeps the order of insertion: the header lists tensors as they lie.
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string> names = {"__metadata__"};
  std::size_t offset = 0;
  for (const TensorSource& tensor : tensors) {
    if (!names.insert(tensor.name).second)
      failTrain("cannot write ", path, ": tensor ", tensor.name, " is there twice or has a reserved name");
    std::size_t elems = 1;
    for (const std::int64_t extent : tensor.shape) elems *= static_cast<std::size_t>(extent);
    if (elems != tensor.values.size())
      failTrain("cannot write ", path, ": tensor ", tensor.name, " has ", tensor.values.size(), " values for a shape of ", elems);
    const std::size_t end = offset + elems * typeBytes(tensor.type);
    header[tensor.name] = {{"dtype", typeName(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + kHeaderAlignBytes - 1) / kHeaderAlignBytes * kHeaderAlignBytes, ' ');
  return text;
}

}  // namespace

void writeSafetensors(const std::string& path, const std::vector<TensorSource>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  const std::string header = makeHeader(tensors, metadata, path);
  AtomicFile file(path);
  const std::uint64_t headerBytes = header.size();
  file.write(&headerBytes, sizeof(headerBytes));
  file.write(header.data(), header.size());
  std::vector<std::uint16_t> piece;
  for (const TensorSource& tensor : tensors) {
    if (tensor.type == TensorType::kF32) {
      file.write(tensor.values.data(), tensor.values.size_bytes());
      continue;
    }
    const auto convert = tensor.type == TensorType::kBF16 ? toBFloat16 : toFloat16;
    piece.resize(std::min<std::size_t>(tensor.values.size(), 1 << 16));
    for (std::size_t done = 0; done < tensor.values.size();) {
      const std::size_t count = std::min(piece.size(), tensor.values.size() - done);
      for (std::size_t i = 0; i < count; ++i) piece[i] = convert(tensor.values[done + i]);
      file.write(piece.data(), count * 2);
      done += count;
    }
  }
  file.commit();
}

}  // namespace qccl::train
