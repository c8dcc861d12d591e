#include "data/bpe_trainer.hpp"

#include <queue>
#include <unordered_set>
#include <vector>

#include "data/hashing.hpp"
#include "data/pretokenizer.hpp"
#include "model/error.hpp"

namespace qccl::train {

namespace {

// Longer pieces (lines of dashes, encoded data) teach nothing about words and make merges slow.
constexpr std::size_t kLearnedPieceBytes = 128;

using Pair = std::uint64_t;  // left id in the upper half, right id in the lower

Pair pairOf(TokenId left, TokenId right) {
  return (static_cast<Pair>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
}
TokenId leftOf(Pair pair) { return static_cast<TokenId>(pair >> 32); }
TokenId rightOf(Pair pair) { return static_cast<TokenId>(pair & 0xffffffffu); }

struct PairHash {
  std::size_t operator()(Pair pair) const { return mix64(pair); }
};

struct Word {
  std::vector<TokenId> tokens;
  std::int64_t count;
};

struct PairState {
  std::int64_t count = 0;
  std::vector<std::uint32_t> words;  // where it occurs or once occurred
};

struct HeapEntry {
  std::int64_t count;
  Pair pair;
  bool operator<(const HeapEntry& other) const { return count != other.count ? count < other.count : pair > other.pair; }
};

// The words with their pair counts, kept up to date while merges are applied. The heap is lazy: an entry whose count has changed since is
// put right when it comes to the top.
class MergeState {
 public:
  explicit MergeState(std::vector<Word> words) : words_(std::move(words)) {
    for (std::uint32_t w = 0; w < words_.size(); ++w) {
      const Word& word = words_[w];
      for (std::size_t i = 0; i + 1 < word.tokens.size(); ++i) {
        PairState& state = pairs_[pairOf(word.tokens[i], word.tokens[i + 1])];
        state.count += word.count;
        if (state.words.empty() || state.words.back() != w) state.words.push_back(w);
      }
    }
    for (const auto& [pair, state] : pairs_) heap_.push({state.count, pair});
  }

  // The most frequent pair; false when none occurs twice.
  bool pop(Pair& pair) {
    while (!heap_.empty()) {
      const HeapEntry top = heap_.top();
      heap_.pop();
      const auto found = pairs_.find(top.pair);
      if (found == pairs_.end() || found->second.count < 2) continue;
      if (found->second.count != top.count) {
        heap_.push({found->second.count, top.pair});
        continue;
      }
      pair = top.pair;
      return true;
    }
    return false;
  }

  void apply(Pair pair, TokenId merged) {
    const std::vector<std::uint32_t> where = std::move(pairs_[pair].words);
    changes_.clear();
    for (const std::uint32_t w : where) mergeWord(w, pair, merged);
    for (const auto& [changed, change] : changes_) {
      if (change == 0) continue;
      const auto found = pairs_.find(changed);
      found->second.count += change;
      if (found->second.count == 0) {
        pairs_.erase(found);
      } else if (change > 0) {
        heap_.push({found->second.count, changed});
      }
    }
  }

 private:
  void mergeWord(std::uint32_t w, Pair pair, TokenId merged) {
    Word& word = words_[w];
    merged_.clear();
    bool found = false;
    for (std::size_t i = 0; i < word.tokens.size(); ++i) {
      const bool here = i + 1 < word.tokens.size() && word.tokens[i] == leftOf(pair) && word.tokens[i + 1] == rightOf(pair);
      merged_.push_back(here ? merged : word.tokens[i]);
      if (here) {
        found = true;
        ++i;
      }
    }
    if (!found) return;  // an earlier merge took the pair away
    for (std::size_t i = 0; i + 1 < word.tokens.size(); ++i) changes_[pairOf(word.tokens[i], word.tokens[i + 1])] -= word.count;
    word.tokens.swap(merged_);
    for (std::size_t i = 0; i + 1 < word.tokens.size(); ++i) {
      const Pair now = pairOf(word.tokens[i], word.tokens[i + 1]);
      changes_[now] += word.count;
      // Pairs with the new token are new to this word; the others know it already.
      if (word.tokens[i] != merged && word.tokens[i + 1] != merged) continue;
      PairState& state = pairs_[now];
      if (state.words.empty() || state.words.back() != w) state.words.push_back(w);
    }
  }

  std::vector<Word> words_;
  std::unordered_map<Pair, PairState, PairHash> pairs_;
  std::priority_queue<HeapEntry> heap_;
  std::unordered_map<Pair, std::int64_t, PairHash> changes_;
  std::vector<TokenId> merged_;
};

}  // namespace

void BpeTrainer::add(std::string_view text) {
  bytes_ += text.size();
  forEachPiece(text, [this](std::string_view piece) {
    if (piece.size() >= 2 && piece.size() <= kLearnedPieceBytes) ++pieces_[std::string(piece)];
  });
}

Tokenizer BpeTrainer::train(std::size_t vocabSize) const {
  if (vocabSize < 257 || vocabSize > 1'000'000) {
    failTrain("a vocabulary of ", vocabSize, " tokens is not possible: 256 bytes and ", kEndOfText,
              " are always in it, and 1000000 is the limit");
  }
  std::vector<std::string> tokens;
  std::unordered_map<std::string, TokenId> ids;
  const auto tokenFor = [&](std::string bytes) {
    const auto [entry, isNew] = ids.emplace(bytes, static_cast<TokenId>(tokens.size()));
    if (isNew) tokens.push_back(std::move(bytes));
    return entry->second;
  };
  for (int byte = 0; byte < 256; ++byte) tokenFor(std::string(1, static_cast<char>(byte)));

  std::vector<Word> words;
  words.reserve(pieces_.size());
  for (const auto& [piece, count] : pieces_) {
    Word word{{}, static_cast<std::int64_t>(count)};
    for (const char byte : piece) word.tokens.push_back(static_cast<unsigned char>(byte));
    words.push_back(std::move(word));
  }
  MergeState state(std::move(words));
  std::vector<Merge> merges;
  std::unordered_set<Pair, PairHash> known;
  Pair pair = 0;
  while (tokens.size() + 1 < vocabSize && state.pop(pair)) {
    // Never the separator's name, whose bytes always lie in several pieces.
    const TokenId merged = tokenFor(tokens[static_cast<std::size_t>(leftOf(pair))] + tokens[static_cast<std::size_t>(rightOf(pair))]);
    // Two merges can make the same token, which then can make a pair again that has been merged before.
    if (known.insert(pair).second) merges.push_back({leftOf(pair), rightOf(pair)});
    state.apply(pair, merged);
  }
  const auto endOfText = static_cast<TokenId>(tokens.size());
  tokens.emplace_back(kEndOfText);
  return Tokenizer(std::move(tokens), std::move(merges), endOfText);
}

}  // namespace qccl::train
