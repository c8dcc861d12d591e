// The sum of one part of a message, as the carrier over NCCL makes it: all operands in one kernel, so that no FP32 sum is ever written to
// memory.
#pragma once

#include <qccl/qccl.h>

#include <cstdint>

#include "quant/cuda/packed_layout.hpp"
#include "quant/kernels.hpp"

namespace qccl::collectives::cuda {

inline constexpr std::uint32_t kMaxOperands = 128;

// Arguments of a launch, by value, so that a captured graph owns them.
struct SumCall {
  // Messages, aligned to 16 bytes, or values of the call's data type, where a bit of areValues is set.
  const unsigned char* operands[kMaxOperands];
  std::uint32_t areValues[kMaxOperands / 32];
  std::uint32_t count;
  std::uint32_t divideBy;  // 0: it is no average
  std::uint64_t elems;
  std::uint64_t firstElem;           // number of the part's first value in the message
  quant::cuda::PackedLayout layout;  // of a message of the part, with a codec
  unsigned char* message;            // where the sum is encoded to, or nullptr
  unsigned char* output;             // where values go: the sum, or what `message` decodes to if there is one; or nullptr
  std::uint64_t noiseKey;
  quant::EncodeCounts* counts;  // device memory
};
static_assert(sizeof(SumCall) <= 4096);  // what every driver takes

inline constexpr unsigned kSumThreads = 256;  // of a thread block

}  // namespace qccl::collectives::cuda
