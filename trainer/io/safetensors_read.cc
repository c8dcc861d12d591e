#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "io/float16.hpp"
#include "io/safetensors.hpp"
#include "model/error.hpp"

namespace qccl::train {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian and read as they are");

using Json = nlohmann::json;

constexpr std::uint64_t kLargestHeaderBytes = 100'000'000;  // the format's own limit
constexpr int kDeepestNesting = 4;                          // object of objects of arrays
constexpr std::size_t kMostDimensions = 64;

struct TypeSize {
  const char* name;
  std::uint64_t bits;
};
constexpr std::array<TypeSize, 17> kTypes = {{{"BOOL", 8},
                                              {"U8", 8},
                                              {"I8", 8},
                                              {"F8_E5M2", 8},
                                              {"F8_E4M3", 8},
                                              {"F8_E8M0", 8},
                                              {"I16", 16},
                                              {"U16", 16},
                                              {"F16", 16},
                                              {"BF16", 16},
                                              {"I32", 32},
                                              {"U32", 32},
                                              {"F32", 32},
                                              {"F64", 64},
                                              {"I64", 64},
                                              {"U64", 64},
                                              {"C64", 64}}};

// Parses with two rules that the JSON library does not have: a name occurs once in its object, and nesting is bounded.
Json parseHeader(const std::string& text) {
  std::vector<std::set<std::string>> names;
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kDeepestNesting) failTrain("its header is nested too deeply");
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key && !names.back().insert(value.get<std::string>()).second) {
      failTrain("its header names ", value.dump(), " twice");
    }
    return true;
  };
  const Json json = Json::parse(text, check, false);
  if (json.is_discarded()) failTrain("its header is not valid JSON");
  if (!json.is_object()) failTrain("its header is not a JSON object");
  return json;
}

std::uint64_t unsignedOf(const Json& value, const std::string& name) {
  if (!value.is_number_unsigned()) failTrain("tensor ", name, " has ", value.dump(), " where a size or an offset should be");
  return value.get<std::uint64_t>();
}

std::uint64_t multiply(std::uint64_t a, std::uint64_t b, const std::string& name) {
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) failTrain("tensor ", name, " is larger than any file");
  return product;
}

TensorInfo parseTensor(const std::string& name, const Json& json) {
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") || !json.contains("shape") || !json.contains("data_offsets")) {
    failTrain("tensor ", name, " is not described by dtype, shape and data_offsets");
  }
  TensorInfo info;
  if (!json.at("dtype").is_string()) failTrain("tensor ", name, " has a dtype that is no text");
  info.dtype = json.at("dtype").get<std::string>();
  const auto type = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeSize& t) { return info.dtype == t.name; });
  if (type == kTypes.end()) failTrain("tensor ", name, " has the unknown dtype ", info.dtype);

  const Json& shape = json.at("shape");
  if (!shape.is_array() || shape.size() > kMostDimensions) failTrain("tensor ", name, " has a shape that is no list of sizes");
  info.elems = 1;
  for (const Json& extent : shape) {
    const std::uint64_t size = unsignedOf(extent, name);
    if (size > (std::uint64_t{1} << 62)) failTrain("tensor ", name, " is larger than any file");
    info.shape.push_back(static_cast<std::int64_t>(size));
    info.elems = multiply(info.elems, size, name);
  }

  const Json& offsets = json.at("data_offsets");
  if (!offsets.is_array() || offsets.size() != 2) failTrain("tensor ", name, " has data_offsets that are no pair");
  info.beginBytes = unsignedOf(offsets.at(0), name);
  info.endBytes = unsignedOf(offsets.at(1), name);
  const std::uint64_t bytes = multiply(info.elems, type->bits / 8, name);
  if (info.endBytes < info.beginBytes || info.endBytes - info.beginBytes != bytes) {
    failTrain("tensor ", name, " needs ", bytes, " bytes, but its data_offsets are ", info.beginBytes, " to ", info.endBytes);
  }
  return info;
}

void readAt(int file, void* out, std::uint64_t bytes, std::uint64_t offset, const std::string& path) {
  char* at = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got = ::pread(file, at, std::min<std::uint64_t>(bytes, 1 << 30), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) failTrain("cannot read ", path, ": ", std::strerror(errno));
    if (got == 0) failTrain(path, " became shorter while it was read");
    at += got;
    offset += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::uint64_t>(got);
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : path_(path) {
  file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file_ < 0) failTrain("cannot open ", path, ": ", std::strerror(errno));
  try {
    struct stat status {};
    if (::fstat(file_, &status) != 0 || !S_ISREG(status.st_mode)) failTrain("it is not a regular file");
    const auto fileBytes = static_cast<std::uint64_t>(status.st_size);
    std::uint64_t headerBytes = 0;
    if (fileBytes < sizeof(headerBytes)) failTrain("it has ", fileBytes, " bytes, too few for the length of a header");
    readAt(file_, &headerBytes, sizeof(headerBytes), 0, path);
    if (headerBytes > kLargestHeaderBytes) failTrain("its header claims ", headerBytes, " bytes, more than the format allows");
    if (headerBytes > fileBytes - sizeof(headerBytes)) failTrain("its header claims ", headerBytes, " bytes, more than the file has");
    std::string header(headerBytes, '\0');
    readAt(file_, header.data(), headerBytes, sizeof(headerBytes), path);
    bufferStart_ = sizeof(headerBytes) + headerBytes;
    parse(header, fileBytes - bufferStart_);
  } catch (const TrainError& error) {
    ::close(file_);
    failTrain("cannot use ", path, " as safetensors: ", error.what());
  } catch (...) {
    ::close(file_);
    throw;
  }
}

SafetensorsFile::~SafetensorsFile() { ::close(file_); }

void SafetensorsFile::parse(const std::string& header, std::uint64_t bufferBytes) {
  if (header.empty() || header.front() != '{') failTrain("its header does not begin with '{'");
  const Json json = parseHeader(header);
  for (const auto& [name, value] : json.items()) {
    if (name != "__metadata__") {
      tensors_.emplace(name, parseTensor(name, value));
      continue;
    }
    if (!value.is_object()) failTrain("its __metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) failTrain("its __metadata__ holds ", text.dump(), " where only texts are allowed");
      metadata_.emplace(key, text.get<std::string>());
    }
  }

  std::vector<const TensorInfo*> order;
  for (const auto& [name, info] : tensors_) order.push_back(&info);
  std::sort(order.begin(), order.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return a->beginBytes != b->beginBytes ? a->beginBytes < b->beginBytes : a->endBytes < b->endBytes;
  });
  std::uint64_t covered = 0;
  for (const TensorInfo* info : order) {
    if (info->beginBytes != covered)
      failTrain("its tensors leave a gap or overlap at byte ", std::min(covered, info->beginBytes), " of the buffer");
    covered = info->endBytes;
  }
  if (covered != bufferBytes)
    failTrain("its tensors take ", covered, " bytes, but ", bufferBytes, " follow the header; the file is cut off or damaged");
}

const TensorInfo& SafetensorsFile::info(std::string_view name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) failTrain(path_, " holds no tensor ", name);
  return it->second;
}

void SafetensorsFile::readF32(std::string_view name, std::span<float> out) const {
  const TensorInfo& tensor = info(name);
  if (out.size() != tensor.elems) failTrain(path_, ": tensor ", name, " has ", tensor.elems, " values where ", out.size(), " are needed");
  const std::uint64_t at = bufferStart_ + tensor.beginBytes;
  if (tensor.dtype == "F32") {
    readAt(file_, out.data(), out.size_bytes(), at, path_);
    return;
  }
  if (tensor.dtype != "BF16" && tensor.dtype != "F16") {
    failTrain(path_, ": tensor ", name, " is stored as ", tensor.dtype, "; only F32, F16 and BF16 can be read as numbers");
  }
  const auto convert = tensor.dtype == "BF16" ? fromBFloat16 : fromFloat16;
  std::vector<std::uint16_t> piece(std::min<std::size_t>(out.size(), 1 << 16));
  for (std::size_t done = 0; done < out.size();) {
    const std::size_t count = std::min(piece.size(), out.size() - done);
    readAt(file_, piece.data(), count * 2, at + done * 2, path_);
    for (std::size_t i = 0; i < count; ++i) out[done + i] = convert(piece[i]);
    done += count;
  }
}

}  // namespace qccl::train
