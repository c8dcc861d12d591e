// Weights and tokens that scripts/make_golden.py makes too, from the formula in its head.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/parameters.hpp"

namespace qccl::train::formula {

inline float u(std::string_view name, std::uint64_t index) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  std::uint64_t x = hash + (index + 1) * 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  x ^= x >> 31;
  return static_cast<float>(x >> 40) / static_cast<float>(1 << 24);
}

inline void fill(Parameters& parameters) {
  for (const Parameter& p : parameters.list()) {
    const std::span<float> values = parameters.value(p);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float spread = 0.3F * (2.0F * u(p.name, i) - 1.0F);
      values[i] = p.is1D ? 1.0F + spread : spread;
    }
  }
}

struct Batch {
  std::int64_t batch, seqLen;
  std::vector<std::int32_t> tokens, targets;
};

inline Batch batch(std::int64_t vocab, std::int64_t sequences, std::int64_t seqLen) {
  Batch b{sequences, seqLen, {}, {}};
  const auto count = static_cast<std::size_t>(sequences * seqLen);
  std::vector<std::int32_t> labels(count);
  for (std::size_t i = 0; i < count; ++i) {
    b.tokens.push_back(static_cast<std::int32_t>(std::floor(u("tokens", i) * static_cast<float>(vocab))));
    labels[i] = u("mask", i) < static_cast<float>(1.0 / 7) ? kIgnoredTarget : b.tokens[i];
  }
  for (std::size_t i = 0; i < count; ++i) {
    const bool last = (i + 1) % static_cast<std::size_t>(seqLen) == 0;
    b.targets.push_back(last ? kIgnoredTarget : labels[i + 1]);
  }
  return b;
}

}  // namespace qccl::train::formula
