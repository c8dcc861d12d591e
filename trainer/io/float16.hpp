// The two 16-bit floating formats of checkpoints, as bit patterns.
#pragma once

#include <cstdint>

namespace qccl::train {

// Exact.
float fromBFloat16(std::uint16_t bits);
float fromFloat16(std::uint16_t bits);

// To nearest, ties to even; beyond the range, infinite; NaN stays NaN.
std::uint16_t toBFloat16(float value);
std::uint16_t toFloat16(float value);

}  // namespace qccl::train
