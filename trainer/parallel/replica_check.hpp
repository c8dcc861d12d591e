// Proof that the ranks still train the same model.
#pragma once

#include <cstdint>
#include <span>

#include "parallel/group.hpp"

namespace qccl::train {

// Of the bits of the values, in order.
std::uint64_t hashValues(std::span<const float> values);

// True on every rank if `values` has the same bits on all of them, false on every rank if not. Collective; sends 16 bytes.
bool replicasAgree(Group& group, std::span<const float> values);

}  // namespace qccl::train
