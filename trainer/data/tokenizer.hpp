// Byte-level BPE. Every byte string can be encoded, and decode(encode(text)) == text for any bytes, because the 256 single bytes are
// tokens.
//
// A tokenizer is 256 byte tokens, the tokens made by merges, and <|endoftext|>, which stands after every document and which no text can
// spell. Encoding cuts the text into pieces (pretokenizer.hpp) and, within a piece, applies again and again the merge of lowest rank that
// fits anywhere, leftmost first.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace qccl::train {

using TokenId = std::int32_t;

inline constexpr const char* kEndOfText = "<|endoftext|>";

// Two adjacent tokens that become one. Rank = position in the list.
struct Merge {
  TokenId left = 0;
  TokenId right = 0;
  bool operator==(const Merge&) const = default;
};

class Tokenizer {
 public:
  // `tokens[id]` is the bytes of token id; all must differ, and every single byte must be there. The last merge's result need not be new:
  // two merges may make the same bytes, and then have the same token. `endOfText` is the id of the separator, whose bytes are kEndOfText.
  // Throws TrainError if it does not fit.
  Tokenizer(std::vector<std::string> tokens, std::vector<Merge> merges, TokenId endOfText);

  // Reads a file written by save(). Throws TrainError that says what is wrong with it.
  static Tokenizer load(const std::string& path);

  // Writes the format of Hugging Face's tokenizer.json (docs/trainer.md), by a temporary file and a rename. Throws TrainError.
  void save(const std::string& path) const;

  std::vector<TokenId> encode(std::string_view text) const;
  // Appends to `ids`, remembering the pieces that it has seen in `cache`: much faster over a corpus.
  class PieceCache;
  void encode(std::string_view text, PieceCache& cache, std::vector<TokenId>& ids) const;

  // Bytes of the tokens in order; the separator decodes to its name. Throws TrainError for an id outside the vocabulary.
  std::string decode(const std::vector<TokenId>& ids) const;
  const std::string& bytesOf(TokenId id) const;

  std::size_t vocabSize() const { return tokens_.size(); }
  TokenId endOfText() const { return endOfText_; }
  const std::vector<std::string>& tokens() const { return tokens_; }
  const std::vector<Merge>& merges() const { return merges_; }

  // Equal for tokenizers that encode alike; token files carry it so that text and tokenizer cannot be mixed up.
  std::uint64_t fingerprint() const;

 private:
  struct MergeResult {
    std::uint32_t rank;
    TokenId token;
  };
  struct PairHash {
    std::size_t operator()(const Merge& pair) const;
  };

  void encodePiece(std::string_view piece, std::vector<TokenId>& ids) const;

  std::vector<std::string> tokens_;
  std::vector<Merge> merges_;
  TokenId endOfText_;
  std::array<TokenId, 256> byteTokens_{};
  std::unordered_map<Merge, MergeResult, PairHash> results_;
};

// Encodings of short pieces. Emptied when it has grown to about 200,000 pieces. Of one tokenizer and one thread.
class Tokenizer::PieceCache {
 private:
  friend class Tokenizer;
  std::unordered_map<std::string, std::vector<TokenId>> encodings_;
};

}  // namespace qccl::train
