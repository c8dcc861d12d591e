// A file of token ids: 64 bytes of header, then the ids. Written down in docs/trainer.md; every integer is little-endian.
//
//   offset  bytes  what
//        0      8  magic "QCCLTOK\n"
//        8      4  version, 1
//       12      4  bytes per token: 2 if the vocabulary has at most 65536 tokens, else 4
//       16      8  number of tokens
//       24      8  size of the vocabulary; every id is below it
//       32      8  number of documents; each ends with the separator
//       40      8  bytes of text that the tokens spell, separators not counted
//       48      8  fingerprint of the tokenizer
//       56      4  CRC-32 (zlib's) of the ids
//       60      4  CRC-32 of the header's first 60 bytes
//       64      -  the ids
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "data/mapped_file.hpp"
#include "data/tokenizer.hpp"

namespace qccl::train {

struct TokenFileInfo {
  std::uint64_t tokens = 0;
  std::uint64_t vocab = 0;
  std::uint64_t documents = 0;
  std::uint64_t textBytes = 0;
  std::uint64_t tokenizerFingerprint = 0;
  std::uint32_t tokenBytes = 0;
  std::uint32_t checksum = 0;
};

// Writes under a temporary name; the file appears when it is complete. Without finish() nothing is left behind.
class TokenFileWriter {
 public:
  TokenFileWriter(std::string path, const Tokenizer& tokenizer);
  ~TokenFileWriter();
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;

  // One document, separator included; textBytes is what it decodes to without the separator.
  void append(const std::vector<TokenId>& ids, std::uint64_t textBytes);
  TokenFileInfo finish();

 private:
  void write(const void* bytes, std::size_t size);

  std::string path_;
  std::string temporaryPath_;
  std::FILE* file_ = nullptr;
  TokenFileInfo info_;
  std::vector<unsigned char> buffer_;
};

// A token file mapped into memory. Opening checks size, header, checksum and that every id is below the vocabulary's size, and throws
// TrainError that says which of these fails.
class TokenFile {
 public:
  explicit TokenFile(const std::string& path);

  const TokenFileInfo& info() const { return info_; }
  const std::string& path() const { return path_; }

  // out[i] = token begin + i, for i < count. The range must lie in the file.
  void read(std::uint64_t begin, std::size_t count, TokenId* out) const;

 private:
  TokenId at(std::uint64_t index) const;

  std::string path_;
  MappedFile file_;
  TokenFileInfo info_;
};

}  // namespace qccl::train
