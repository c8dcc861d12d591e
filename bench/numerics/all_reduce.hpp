// Runs one case and compares its result with the exact sum.
#pragma once

#include <cstdint>

#include "numerics/case.hpp"
#include "numerics/input.hpp"
#include "numerics/rank_threads.hpp"

namespace qccl::bench::numerics {

// What the library says about a case beforehand. Throws ToolError if it would do something else.
qcclPlan_t explain(const Case& c, std::size_t elems, Communicators& comms);

// All-reduces the first c.ranks rows of `input` (rounded to BF16 already where c.dtype is bfloat16). `seed` is that of stochastic
// rounding. Throws ToolError if ranks end with different bits.
Measure run(const Case& c, const Input& input, std::uint64_t seed, Communicators& comms);

}  // namespace qccl::bench::numerics
