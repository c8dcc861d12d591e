// What goes into a call and comes out of it, the same in every run and in every test program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace qccl::test {

// Independent values of the standard normal distribution; other ones for another seed, such as the rank.
inline std::vector<float> normalValues(std::size_t count, int seed) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& x : values) x = normal(random);
  return values;
}

// To compare results without keeping them (FNV-1a).
inline std::uint64_t hashOf(const std::vector<char>& bytes) {
  std::uint64_t hash = 1469598103934665603u;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211u;
  return hash;
}

}  // namespace qccl::test
