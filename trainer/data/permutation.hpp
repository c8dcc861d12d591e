// A pseudo-random order of 0..n-1 that needs no table: element i of the order is computed from (i, key) alone, so that every rank can ask
// for its own part and a resumed run continues anywhere.
#pragma once

#include <cstdint>

#include "data/hashing.hpp"

namespace qccl::train {

class Permutation {
 public:
  Permutation(std::uint64_t size, std::uint64_t key) : size_(size), key_(key) {
    while (halfBits_ < 32 && (1ULL << (2 * halfBits_)) < size) ++halfBits_;
  }

  // A bijection of [0, size). A Feistel network permutes the next power of four; a value outside the range is sent through again ("cycle
  // walking") until it falls inside, which keeps it a bijection and takes fewer than four rounds on average.
  std::uint64_t operator()(std::uint64_t index) const {
    do {
      index = encrypt(index);
    } while (index >= size_);
    return index;
  }

 private:
  static constexpr std::uint64_t kRounds = 6;

  std::uint64_t encrypt(std::uint64_t value) const {
    const std::uint64_t mask = (1ULL << halfBits_) - 1;
    std::uint64_t left = value >> halfBits_;
    std::uint64_t right = value & mask;
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      const std::uint64_t next = left ^ (mix64(mix64(key_ + round) ^ right) & mask);
      left = right;
      right = next;
    }
    return (left << halfBits_) | right;
  }

  std::uint64_t size_;
  std::uint64_t key_;
  unsigned halfBits_ = 1;
};

}  // namespace qccl::train
