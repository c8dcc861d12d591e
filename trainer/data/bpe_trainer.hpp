// Learns the merges of a byte-level BPE from text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "data/tokenizer.hpp"

namespace qccl::train {

class BpeTrainer {
 public:
  // Counts the pieces of `text`. May be called any number of times; the order of calls does not matter.
  void add(std::string_view text);

  // Learns merges until the vocabulary (256 bytes, merges, separator) has `vocabSize` tokens or no pair occurs twice. Each step merges the
  // most frequent pair of adjacent tokens, the pair with smaller ids where two are equally frequent: the result depends on the texts only.
  // Throws TrainError if vocabSize < 257.
  Tokenizer train(std::size_t vocabSize) const;

  std::uint64_t bytes() const { return bytes_; }

 private:
  std::unordered_map<std::string, std::uint64_t> pieces_;
  std::uint64_t bytes_ = 0;
};

}  // namespace qccl::train
