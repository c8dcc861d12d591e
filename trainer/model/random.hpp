// Random numbers that depend on a key and a counter alone: any value can be made without the ones before it, on any machine, with the same
// bits.
#pragma once

#include <cstdint>
#include <string_view>

namespace qccl::train {

// The Philox4x32-10 generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), 64 bits a call: the first two words of
// its four.
std::uint64_t philox(std::uint64_t key, std::uint64_t counterLow, std::uint64_t counterHigh);

// In [0, 1), a multiple of 2^-53.
double uniform(std::uint64_t key, std::uint64_t stream, std::uint64_t index);

// Standard normal, by Box and Muller from two uniform numbers with logarithm and cosine of our own, since those of different C libraries
// differ in the last bit.
double normal(std::uint64_t key, std::uint64_t stream, std::uint64_t index);

// FNV-1a, to make a stream number from a name.
std::uint64_t nameHash(std::string_view name);

}  // namespace qccl::train
