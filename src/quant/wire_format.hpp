// The wire format of quantized values, version 1. It is also the storage format: a packed buffer can be sent as it lies.
// docs/wire_format.md says the same in words; change both together, and kWireFormatVersion with them.
//
// A packed buffer holds `elems` values in blocks of `blockElems`, the last block possibly shorter. Blocks are grouped into frames of
// kFrameBlocks, the last frame possibly shorter. A frame with k blocks and n values is
//     k scales, 4 bytes each (FP32, little-endian: the largest magnitude of the block, or NaN), padded with zeros to a multiple of 16 bytes
//     n codes, 1 byte each (two's complement, -127..127), padded with zeros to a multiple of 16 bytes
// so every section of a buffer aligned to 16 bytes is aligned to 16 bytes, every run of whole frames is contiguous, and scales travel with
// their codes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/host_device.hpp"

namespace qccl::quant {

inline constexpr int kWireFormatVersion = 1;
inline constexpr std::size_t kFrameBlocks = 16;
inline constexpr std::size_t kScaleBytes = 4;
inline constexpr std::size_t kSectionAlign = 16;
inline constexpr std::size_t kMinBlockElems = 32;
inline constexpr std::size_t kMaxBlockElems = 4096;

QCCL_HD constexpr std::size_t divideUp(std::size_t a, std::size_t b) { return (a + b - 1) / b; }
QCCL_HD constexpr std::size_t alignUp(std::size_t bytes, std::size_t align) { return divideUp(bytes, align) * align; }

constexpr bool isValidBlock(std::size_t blockElems) {
  return blockElems >= kMinBlockElems && blockElems <= kMaxBlockElems && (blockElems & (blockElems - 1)) == 0;
}

QCCL_HD constexpr std::size_t frameElems(std::size_t blockElems) { return kFrameBlocks * blockElems; }

// Bytes before the codes in a frame of `elems` values (elems <= frameElems).
QCCL_HD constexpr std::size_t frameScaleBytes(std::size_t elems, std::size_t blockElems) {
  return alignUp(divideUp(elems, blockElems) * kScaleBytes, kSectionAlign);
}

QCCL_HD constexpr std::size_t frameBytes(std::size_t elems, std::size_t blockElems) {
  return frameScaleBytes(elems, blockElems) + alignUp(elems, kSectionAlign);
}

// Bytes of a packed buffer of `elems` values.
QCCL_HD constexpr std::size_t packedBytes(std::size_t elems, std::size_t blockElems) {
  const std::size_t whole = elems / frameElems(blockElems);
  const std::size_t rest = elems % frameElems(blockElems);
  return whole * frameBytes(frameElems(blockElems), blockElems) + (rest == 0 ? 0 : frameBytes(rest, blockElems));
}

static_assert(frameBytes(frameElems(256), 256) == 64 + 4096);
static_assert(frameBytes(frameElems(32), 32) == 64 + 512);
static_assert(packedBytes(0, 256) == 0);
static_assert(packedBytes(1, 256) == 32);
static_assert(packedBytes(257, 256) == 16 + 272);
static_assert(packedBytes(4096 + 1, 256) == 64 + 4096 + 32);

}  // namespace qccl::quant
