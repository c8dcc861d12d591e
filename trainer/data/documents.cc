#include "data/documents.hpp"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/error.hpp"

namespace qccl::train {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kProbeBytes = 8192;
constexpr std::size_t kMaxLineBytes = std::size_t{256} << 20;

// The decompressed bytes of a file. zlib hands data that is not gzip through unchanged.
class ByteSource {
 public:
  explicit ByteSource(const std::string& path) : path_(path), file_(::gzopen(path.c_str(), "rbe")) {
    if (file_ == nullptr) failTrain("cannot open ", path, ": ", std::strerror(errno));
    ::gzbuffer(file_, 1u << 17);
  }
  ~ByteSource() { ::gzclose(file_); }
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  // Appends up to `bytes` bytes; false at the end of the file.
  bool append(std::string& out, std::size_t bytes) {
    const std::size_t before = out.size();
    out.resize(before + bytes);
    const int got = ::gzread(file_, out.data() + before, static_cast<unsigned>(bytes));
    out.resize(before + static_cast<std::size_t>(std::max(got, 0)));
    int code = Z_OK;
    const char* message = ::gzerror(file_, &code);
    if (got < 0 || (code != Z_OK && code != Z_STREAM_END)) {
      failTrain("cannot read ", path_, ": ", code == Z_ERRNO ? std::strerror(errno) : message);
    }
    return got > 0;
  }

 private:
  std::string path_;
  gzFile file_;
};

bool looksLikeText(std::string_view start) {
  std::size_t controls = 0;
  for (const char byte : start) {
    const auto value = static_cast<unsigned char>(byte);
    if (value == 0) return false;
    // Tab, line feed, vertical tab, form feed, carriage return, and the backspaces and escapes of formatted manual pages are text.
    if ((value < 0x08 || (value > 0x0d && value < 0x20 && value != 0x1b))) ++controls;
  }
  return controls * 32 <= start.size();
}

// Length of the first document of `text`, which is longer than `limit`: up to the last line's end in the second half of the limit, else up
// to the last character that is not cut in two.
std::size_t cutPoint(std::string_view text, std::size_t limit) {
  const std::size_t newline = text.rfind('\n', limit - 1);
  if (newline != std::string_view::npos && newline + 1 > limit / 2) return newline + 1;
  std::size_t cut = limit;
  while (cut > limit - std::min<std::size_t>(limit - 1, 3) && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
  return cut;
}

bool endsWith(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}

}  // namespace

DocumentReader::DocumentReader(std::vector<std::string> paths, DocumentOptions options) : options_(options) {
  if (options_.maxDocumentBytes < 16) failTrain("documents of ", options_.maxDocumentBytes, " bytes are too small; take at least 16");
  for (const std::string& path : paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found) failTrain("there is no file or folder ", path);
    if (status.type() == fs::file_type::regular) {
      files_.push_back({path, true});
      continue;
    }
    if (status.type() != fs::file_type::directory) failTrain(path, " is neither a regular file nor a folder");
    std::vector<std::string> found;
    auto walk = fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied, error);
    if (error) failTrain("cannot read the folder ", path, ": ", error.message());
    for (const auto end = fs::recursive_directory_iterator(); walk != end; walk.increment(error)) {
      if (error) failTrain("cannot read the folder ", path, ": ", error.message());
      const bool hidden = walk->path().filename().native().starts_with('.');
      const fs::file_type type = walk->symlink_status(error).type();
      if (type == fs::file_type::directory && hidden) walk.disable_recursion_pending();
      if (type == fs::file_type::regular && !hidden) found.push_back(walk->path().string());
    }
    std::sort(found.begin(), found.end());
    for (std::string& file : found) files_.push_back({std::move(file), false});
  }
}

void DocumentReader::readFile(const File& file, const std::function<void(std::string_view)>& use, DocumentCounts& counts) const {
  ByteSource source(file.path);
  const auto give = [&](std::string_view text) {
    if (text.empty()) return;
    ++counts.documents;
    counts.bytes += text.size();
    use(text);
  };
  const auto giveInParts = [&](std::string_view text) {
    while (text.size() > options_.maxDocumentBytes) {
      const std::size_t length = cutPoint(text, options_.maxDocumentBytes);
      give(text.substr(0, length));
      text.remove_prefix(length);
    }
    give(text);
  };

  std::string buffer;
  bool more = source.append(buffer, kProbeBytes);
  if (!looksLikeText(buffer)) {
    if (file.named) failTrain(file.path, " is not text (it holds zero or control bytes); name text, gzip-compressed text or .jsonl files");
    ++counts.binary;
    return;
  }
  ++counts.files;
  if (endsWith(file.path, ".jsonl") || endsWith(file.path, ".jsonl.gz")) {
    std::uint64_t line = 0;
    const auto giveLine = [&](std::string_view text) {
      ++line;
      if (text.find_first_not_of(" \t\r") == std::string_view::npos) return;
      const auto json = nlohmann::json::parse(text, nullptr, false);
      if (json.is_discarded()) failTrain(file.path, ":", line, ": not a line of JSON");
      const auto field = json.is_object() ? json.find("text") : json.end();
      if (!json.is_object() || field == json.end() || !field->is_string()) {
        failTrain(file.path, ":", line, ": not an object with a string \"text\"");
      }
      giveInParts(field->get_ref<const std::string&>());
    };
    std::size_t searched = 0;
    for (;;) {
      const std::size_t newline = buffer.find('\n', searched);
      if (newline != std::string::npos) {
        giveLine(std::string_view(buffer).substr(0, newline));
        buffer.erase(0, newline + 1);
        searched = 0;
        continue;
      }
      if (buffer.size() > kMaxLineBytes) failTrain(file.path, ":", line + 1, ": a line of more than ", kMaxLineBytes, " bytes");
      searched = buffer.size();
      if (!more) break;
      more = source.append(buffer, std::size_t{1} << 16);
    }
    giveLine(buffer);
    return;
  }
  for (;;) {
    while (more && buffer.size() <= options_.maxDocumentBytes) more = source.append(buffer, options_.maxDocumentBytes);
    if (buffer.size() <= options_.maxDocumentBytes) break;
    const std::size_t length = cutPoint(buffer, options_.maxDocumentBytes);
    give(std::string_view(buffer).substr(0, length));
    buffer.erase(0, length);
  }
  give(buffer);
}

DocumentCounts DocumentReader::forEach(const std::function<void(std::string_view text)>& use) const {
  // What `use` throws must pass through, so that only the reading of a file is forgiven.
  struct UseFailed {
    std::exception_ptr cause;
  };
  DocumentCounts counts;
  const auto guarded = [&use](std::string_view text) {
    try {
      use(text);
    } catch (...) {
      throw UseFailed{std::current_exception()};
    }
  };
  for (const File& file : files_) {
    try {
      readFile(file, guarded, counts);
    } catch (const UseFailed& failed) {
      std::rethrow_exception(failed.cause);
    } catch (const TrainError&) {
      if (file.named || endsWith(file.path, ".jsonl") || endsWith(file.path, ".jsonl.gz")) throw;
      ++counts.unreadable;
    }
  }
  return counts;
}

}  // namespace qccl::train
