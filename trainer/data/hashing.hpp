// The two mixing functions of the data pipeline. They decide which document is validation text and in which order windows are read, so
// their results are part of the file format: do not change them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace qccl::train {

// A bijection of 64-bit values whose output bits all depend on all input bits (xor-shift and odd multiplications).
inline std::uint64_t mix64(std::uint64_t x) {
  x ^= x >> 32;
  x *= 0xe9846af9b1a615dULL;
  x ^= x >> 32;
  x *= 0xe9846af9b1a615dULL;
  x ^= x >> 28;
  return x;
}

// Hash of a byte string under a seed, eight bytes (little-endian) at a time; the last word is padded with zeros, the length is mixed in.
inline std::uint64_t hashBytes(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t state = mix64(seed + 0x9e3779b97f4a7c15ULL) ^ bytes.size();
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    state = mix64(state ^ word) + 0x9e3779b97f4a7c15ULL;
  }
  if (at < bytes.size()) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, bytes.size() - at);
    state = mix64(state ^ word);
  }
  return mix64(state);
}

}  // namespace qccl::train
