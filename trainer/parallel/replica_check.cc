#include "parallel/replica_check.hpp"

#include <string_view>

#include "data/hashing.hpp"

namespace qccl::train {

std::uint64_t hashValues(std::span<const float> values) {
  return hashBytes({reinterpret_cast<const char*>(values.data()), values.size_bytes()}, 0);
}

bool replicasAgree(Group& group, std::span<const float> values) {
  const std::uint64_t hash = hashValues(values);
  // The largest hash and the complement of the smallest; they belong together where all are equal.
  std::uint64_t extremes[2] = {hash, ~hash};
  group.max(extremes);
  return extremes[0] == ~extremes[1];
}

}  // namespace qccl::train
