// The noise of stochastic rounding: a pure function of a key and an element index, so that it does not depend on tiles, threads or
// machines.
//
// Both steps are the splitmix64 construction (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): a counter
// multiplied by the golden ratio, then a finalizer that passes statistical tests.
#pragma once

#include <cstdint>

#include "core/host_device.hpp"

namespace qccl::quant {

inline constexpr std::uint64_t kNoiseStride = 0x9e3779b97f4a7c15u;
inline constexpr std::uint64_t kMix64First = 0xbf58476d1ce4e5b9u;
inline constexpr std::uint64_t kMix64Second = 0x94d049bb133111ebu;

QCCL_HD std::uint64_t mix64(std::uint64_t x) {
  x = (x ^ (x >> 30)) * kMix64First;
  x = (x ^ (x >> 27)) * kMix64Second;
  return x ^ (x >> 31);
}

// A key that differs for every (seed, call, rank, step): noise is independent between ranks, hops and calls.
QCCL_HD std::uint64_t noiseKey(std::uint64_t seed, std::uint64_t call, std::uint64_t rank, std::uint64_t step) {
  return mix64(mix64(mix64(mix64(seed + kNoiseStride) + call) + (rank << 32)) + step);
}

// Uniform on {0, 1, ..., 2^24 - 1} * 2^-24.
QCCL_HD float uniformNoise(std::uint64_t key, std::uint64_t index) {
  return static_cast<float>(static_cast<std::int32_t>(mix64(key + index * kNoiseStride) >> 40)) * 0x1p-24f;
}

}  // namespace qccl::quant
