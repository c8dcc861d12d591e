#include "data/token_file.hpp"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "model/error.hpp"

namespace qccl::train {

namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian and are read as they lie");

constexpr char kMagic[8] = {'Q', 'C', 'C', 'L', 'T', 'O', 'K', '\n'};
constexpr std::uint32_t kVersion = 1;

struct Header {
  char magic[8];
  std::uint32_t version;
  std::uint32_t tokenBytes;
  std::uint64_t tokens;
  std::uint64_t vocab;
  std::uint64_t documents;
  std::uint64_t textBytes;
  std::uint64_t tokenizerFingerprint;
  std::uint32_t checksum;
  std::uint32_t headerChecksum;
};
static_assert(sizeof(Header) == 64 && offsetof(Header, headerChecksum) == 60);

std::uint32_t crc(std::uint32_t state, const void* bytes, std::size_t size) {
  return static_cast<std::uint32_t>(::crc32_z(state, static_cast<const Bytef*>(bytes), size));
}

std::uint32_t headerChecksum(const Header& header) { return crc(0, &header, offsetof(Header, headerChecksum)); }

Header makeHeader(const TokenFileInfo& info) {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.version = kVersion;
  header.tokenBytes = info.tokenBytes;
  header.tokens = info.tokens;
  header.vocab = info.vocab;
  header.documents = info.documents;
  header.textBytes = info.textBytes;
  header.tokenizerFingerprint = info.tokenizerFingerprint;
  header.checksum = info.checksum;
  header.headerChecksum = headerChecksum(header);
  return header;
}

}  // namespace

TokenFileWriter::TokenFileWriter(std::string path, const Tokenizer& tokenizer) : path_(std::move(path)), temporaryPath_(path_ + ".tmp") {
  info_.vocab = tokenizer.vocabSize();
  info_.tokenizerFingerprint = tokenizer.fingerprint();
  info_.tokenBytes = info_.vocab <= 65536 ? 2 : 4;
  file_ = std::fopen(temporaryPath_.c_str(), "wbe");
  if (file_ == nullptr) failTrain("cannot write ", temporaryPath_, ": ", std::strerror(errno));
  const Header empty{};  // written over by finish()
  write(&empty, sizeof(empty));
}

TokenFileWriter::~TokenFileWriter() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  ::unlink(temporaryPath_.c_str());
}

void TokenFileWriter::write(const void* bytes, std::size_t size) {
  if (std::fwrite(bytes, 1, size, file_) != size) failTrain("cannot write ", temporaryPath_, ": ", std::strerror(errno));
}

void TokenFileWriter::append(const std::vector<TokenId>& ids, std::uint64_t textBytes) {
  buffer_.resize(ids.size() * info_.tokenBytes);
  for (std::size_t i = 0; i < ids.size(); ++i)
    std::memcpy(&buffer_[i * info_.tokenBytes], &ids[i], info_.tokenBytes);  // little-endian: the low bytes
  write(buffer_.data(), buffer_.size());
  info_.checksum = crc(info_.checksum, buffer_.data(), buffer_.size());
  info_.tokens += ids.size();
  info_.textBytes += textBytes;
  ++info_.documents;
}

TokenFileInfo TokenFileWriter::finish() {
  const Header header = makeHeader(info_);
  std::rewind(file_);
  write(&header, sizeof(header));
  const bool flushed = std::fflush(file_) == 0 && ::fsync(::fileno(file_)) == 0;
  const bool closed = std::fclose(file_) == 0;
  file_ = nullptr;
  if (!flushed || !closed || std::rename(temporaryPath_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporaryPath_.c_str());
    failTrain("cannot complete ", path_, ": ", std::strerror(error));
  }
  return info_;
}

TokenFile::TokenFile(const std::string& path) : path_(path), file_(path) {
  Header header{};
  if (file_.sizeBytes() < sizeof(header)) failTrain(path, " is too short to be a token file; `qccl-train prepare` makes them");
  std::memcpy(&header, file_.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) failTrain(path, " is not a token file; `qccl-train prepare` makes them");
  if (header.version != kVersion) failTrain(path, " has version ", header.version, "; this program reads version ", kVersion);
  if (header.headerChecksum != headerChecksum(header))
    failTrain(path, " is damaged: its header does not match its checksum; prepare the data again");
  if (header.tokenBytes != 2 && header.tokenBytes != 4) failTrain(path, " has ", header.tokenBytes, " bytes a token; 2 or 4 are possible");
  const std::uint64_t payloadBytes = file_.sizeBytes() - sizeof(header);
  if (header.tokens != payloadBytes / header.tokenBytes || payloadBytes % header.tokenBytes != 0) {
    failTrain(path, " is damaged: its header says ", header.tokens, " tokens, and it holds ", payloadBytes,
              " bytes of them; prepare the data again");
  }
  if (crc(0, file_.data() + sizeof(header), payloadBytes) != header.checksum) {
    failTrain(path, " is damaged: its tokens do not match their checksum; prepare the data again");
  }
  info_ = {header.tokens,     header.vocab,   header.documents, header.textBytes, header.tokenizerFingerprint,
           header.tokenBytes, header.checksum};
  for (std::uint64_t i = 0; i < info_.tokens; ++i) {
    const TokenId id = at(i);
    if (id < 0 || static_cast<std::uint64_t>(id) >= info_.vocab)
      failTrain(path, " holds token ", id, " outside its vocabulary of ", info_.vocab);
  }
}

TokenId TokenFile::at(std::uint64_t index) const {
  const unsigned char* data = file_.data() + sizeof(Header);
  if (info_.tokenBytes == 2) {
    std::uint16_t id = 0;
    std::memcpy(&id, data + index * 2, 2);
    return id;
  }
  TokenId id = 0;
  std::memcpy(&id, data + index * 4, 4);
  return id;
}

void TokenFile::read(std::uint64_t begin, std::size_t count, TokenId* out) const {
  if (begin > info_.tokens || count > info_.tokens - begin) failTrain("tokens ", begin, " to ", begin + count, " are outside ", path_);
  for (std::size_t i = 0; i < count; ++i) out[i] = at(begin + i);
}

}  // namespace qccl::train
