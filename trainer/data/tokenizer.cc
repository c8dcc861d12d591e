#include "data/tokenizer.hpp"

#include <queue>

#include "data/hashing.hpp"
#include "data/pretokenizer.hpp"
#include "model/error.hpp"

namespace qccl::train {

namespace {

constexpr std::size_t kCachedPieces = 200000;
constexpr std::size_t kCachedPieceBytes = 64;

// A merge that may be applied: of tokens `left` and the one after it in the piece's list, unless one of them has been merged since.
struct Candidate {
  std::uint32_t rank;
  std::uint32_t left;
  TokenId leftToken;
  TokenId rightToken;
  bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
};

struct Node {
  TokenId token;
  std::int32_t previous;
  std::int32_t next;  // -1 at the end
};

}  // namespace

std::size_t Tokenizer::PairHash::operator()(const Merge& pair) const {
  return mix64((static_cast<std::uint64_t>(static_cast<std::uint32_t>(pair.left)) << 32) | static_cast<std::uint32_t>(pair.right));
}

Tokenizer::Tokenizer(std::vector<std::string> tokens, std::vector<Merge> merges, TokenId endOfText)
    : tokens_(std::move(tokens)), merges_(std::move(merges)), endOfText_(endOfText) {
  std::unordered_map<std::string_view, TokenId> ids;
  for (std::size_t id = 0; id < tokens_.size(); ++id) {
    if (tokens_[id].empty()) failTrain("token ", id, " of the tokenizer is empty");
    if (!ids.emplace(tokens_[id], static_cast<TokenId>(id)).second)
      failTrain("token ", id, " of the tokenizer has the bytes of another token");
  }
  const auto isToken = [this](TokenId id) { return id >= 0 && static_cast<std::size_t>(id) < tokens_.size(); };
  if (!isToken(endOfText_) || tokens_[static_cast<std::size_t>(endOfText_)] != kEndOfText) {
    failTrain("the tokenizer has no token ", kEndOfText);
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto found = ids.find(std::string(1, static_cast<char>(byte)));
    if (found == ids.end()) failTrain("the tokenizer has no token for the single byte ", byte, ", so it could not encode every text");
    byteTokens_[byte] = found->second;
  }
  results_.reserve(merges_.size());
  for (std::size_t rank = 0; rank < merges_.size(); ++rank) {
    const Merge& merge = merges_[rank];
    if (!isToken(merge.left) || !isToken(merge.right) || merge.left == endOfText_ || merge.right == endOfText_) {
      failTrain("merge ", rank, " of the tokenizer names a token that cannot be merged");
    }
    const auto found = ids.find(bytesOf(merge.left) + bytesOf(merge.right));
    if (found == ids.end() || found->second == endOfText_) failTrain("merge ", rank, " of the tokenizer makes bytes that are no token");
    if (!results_.emplace(merge, MergeResult{static_cast<std::uint32_t>(rank), found->second}).second) {
      failTrain("merge ", rank, " of the tokenizer is there twice");
    }
  }
}

const std::string& Tokenizer::bytesOf(TokenId id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= tokens_.size())
    failTrain("token ", id, " is outside the vocabulary of ", tokens_.size(), " tokens");
  return tokens_[static_cast<std::size_t>(id)];
}

void Tokenizer::encodePiece(std::string_view piece, std::vector<TokenId>& ids) const {
  // The tokens of the piece as a doubly linked list, so that a merge is O(1) and a long piece O(n log n) in all.
  std::vector<Node> nodes(piece.size());
  for (std::size_t i = 0; i < piece.size(); ++i) {
    const auto at = static_cast<std::int32_t>(i);
    nodes[i] = {byteTokens_[static_cast<unsigned char>(piece[i])], at - 1, i + 1 < piece.size() ? at + 1 : -1};
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto consider = [&](std::int32_t left) {
    if (left < 0 || nodes[static_cast<std::size_t>(left)].next < 0) return;
    const Node& node = nodes[static_cast<std::size_t>(left)];
    const TokenId right = nodes[static_cast<std::size_t>(node.next)].token;
    const auto found = results_.find({node.token, right});
    if (found != results_.end()) candidates.push({found->second.rank, static_cast<std::uint32_t>(left), node.token, right});
  };
  for (std::size_t i = 0; i + 1 < nodes.size(); ++i) consider(static_cast<std::int32_t>(i));
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    Node& left = nodes[best.left];
    // Merged into a neighbour since (token -1), or one of the two has become another token.
    if (left.token != best.leftToken || left.next < 0 || nodes[static_cast<std::size_t>(left.next)].token != best.rightToken) continue;
    Node& right = nodes[static_cast<std::size_t>(left.next)];
    left.token = results_.at({best.leftToken, best.rightToken}).token;
    left.next = right.next;
    right.token = -1;
    if (left.next >= 0) nodes[static_cast<std::size_t>(left.next)].previous = static_cast<std::int32_t>(best.left);
    consider(left.previous);
    consider(static_cast<std::int32_t>(best.left));
  }
  for (std::int32_t at = 0; at >= 0; at = nodes[static_cast<std::size_t>(at)].next)
    ids.push_back(nodes[static_cast<std::size_t>(at)].token);
}

void Tokenizer::encode(std::string_view text, PieceCache& cache, std::vector<TokenId>& ids) const {
  forEachPiece(text, [&](std::string_view piece) {
    if (piece.size() > kCachedPieceBytes) {
      encodePiece(piece, ids);
      return;
    }
    if (cache.encodings_.size() > kCachedPieces) cache.encodings_.clear();
    const auto [entry, isNew] = cache.encodings_.try_emplace(std::string(piece));
    if (isNew) encodePiece(piece, entry->second);
    ids.insert(ids.end(), entry->second.begin(), entry->second.end());
  });
}

std::vector<TokenId> Tokenizer::encode(std::string_view text) const {
  PieceCache cache;
  std::vector<TokenId> ids;
  encode(text, cache, ids);
  return ids;
}

std::string Tokenizer::decode(const std::vector<TokenId>& ids) const {
  std::string text;
  for (const TokenId id : ids) text += bytesOf(id);
  return text;
}

std::uint64_t Tokenizer::fingerprint() const {
  std::uint64_t state = mix64(tokens_.size());
  for (const std::string& token : tokens_) state = hashBytes(token, state);
  for (const Merge& merge : merges_) state = mix64(state ^ PairHash{}(merge)) + 1;
  return mix64(state ^ static_cast<std::uint64_t>(endOfText_));
}

}  // namespace qccl::train
