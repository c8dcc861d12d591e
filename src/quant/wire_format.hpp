// The wire format of quantized values, version 2. It is also the storage format: a packed buffer can be sent as it lies.
// docs/wire_format.md says the same in words; change both together, and kWireFormatVersion with them.
//
// A packed buffer holds `elems` values in blocks of `blockElems`, the last block possibly shorter. Blocks are grouped into frames of
// kFrameBlocks, the last frame possibly shorter. A frame with k blocks and n values is a row of sections, each padded with zeros to a
// multiple of kSectionAlign:
//     k scales of scaleBytes each (block_scale.hpp; none with codec bf16)
//     the low plane: the low lowPlaneBits of every code
//     the high plane: the other highPlaneBits of every code (int5, int6)
// A plane of w bits is a little-endian string of bits in which value i of the frame has the bits [i w, i w + w). So every section of a
// buffer aligned to 16 bytes is aligned to 16 bytes, a block begins at a whole byte of every plane, every run of whole frames is
// contiguous, and scales travel with their codes.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <cstdint>

#include "core/host_device.hpp"

namespace qccl::quant {

inline constexpr int kWireFormatVersion = 2;
inline constexpr std::size_t kFrameBlocks = 16;
inline constexpr std::size_t kSectionAlign = 16;
inline constexpr std::size_t kMinBlockElems = 32;
inline constexpr std::size_t kMaxBlockElems = 4096;

// How the values of a packed buffer are coded. Not recorded in the buffer: it is part of the call that makes or reads it.
struct PackedFormat {
  qcclCodec_t codec = qcclCodecInt8;  // any but none
  qcclScale_t scale = qcclScaleFloat32;
  std::size_t blockElems = 256;

  bool operator==(const PackedFormat&) const = default;
};

QCCL_HD constexpr std::size_t divideUp(std::size_t a, std::size_t b) { return (a + b - 1) / b; }
QCCL_HD constexpr std::size_t alignUp(std::size_t bytes, std::size_t align) { return divideUp(bytes, align) * align; }

constexpr bool isValidBlock(std::size_t blockElems) {
  return blockElems >= kMinBlockElems && blockElems <= kMaxBlockElems && (blockElems & (blockElems - 1)) == 0;
}

QCCL_HD constexpr std::size_t frameElems(std::size_t blockElems) { return kFrameBlocks * blockElems; }

QCCL_HD constexpr std::size_t lowPlaneBits(qcclCodec_t codec) {
  switch (codec) {
    case qcclCodecInt6:
    case qcclCodecInt5:
    case qcclCodecInt4:
    case qcclCodecFp4E2m1:
      return 4;
    case qcclCodecBf16:
      return 16;
    default:
      return 8;
  }
}

QCCL_HD constexpr std::size_t highPlaneBits(qcclCodec_t codec) { return codec == qcclCodecInt6 ? 2 : codec == qcclCodecInt5 ? 1 : 0; }

QCCL_HD constexpr std::size_t codeBits(qcclCodec_t codec) { return lowPlaneBits(codec) + highPlaneBits(codec); }

QCCL_HD constexpr std::size_t scaleBytes(const PackedFormat& format) {
  if (format.codec == qcclCodecBf16) return 0;
  return format.scale == qcclScaleE8m0 ? 1 : format.scale == qcclScaleBfloat16 ? 2 : 4;
}

// Bytes before the low plane in a frame of `elems` values (elems <= frameElems).
QCCL_HD constexpr std::size_t frameScaleBytes(std::size_t elems, const PackedFormat& format) {
  return alignUp(divideUp(elems, format.blockElems) * scaleBytes(format), kSectionAlign);
}

QCCL_HD constexpr std::size_t planeBytes(std::size_t elems, std::size_t bits) { return alignUp(divideUp(elems * bits, 8), kSectionAlign); }

QCCL_HD constexpr std::size_t frameBytes(std::size_t elems, const PackedFormat& format) {
  return frameScaleBytes(elems, format) + planeBytes(elems, lowPlaneBits(format.codec)) + planeBytes(elems, highPlaneBits(format.codec));
}

// Bytes of a packed buffer of `elems` values.
QCCL_HD constexpr std::size_t packedBytes(std::size_t elems, const PackedFormat& format) {
  const std::size_t whole = elems / frameElems(format.blockElems);
  const std::size_t rest = elems % frameElems(format.blockElems);
  return whole * frameBytes(frameElems(format.blockElems), format) + (rest == 0 ? 0 : frameBytes(rest, format));
}

static_assert(packedBytes(4096, {qcclCodecInt8, qcclScaleFloat32, 256}) == 64 + 4096);
static_assert(packedBytes(4096, {qcclCodecInt8, qcclScaleBfloat16, 256}) == 32 + 4096);
static_assert(packedBytes(4096, {qcclCodecInt6, qcclScaleFloat32, 256}) == 64 + 2048 + 1024);
static_assert(packedBytes(4096, {qcclCodecInt5, qcclScaleFloat32, 256}) == 64 + 2048 + 512);
static_assert(packedBytes(4096, {qcclCodecFp4E2m1, qcclScaleE8m0, 256}) == 16 + 2048);
static_assert(packedBytes(4096, {qcclCodecBf16, qcclScaleFloat32, 256}) == 8192);
static_assert(packedBytes(0, {}) == 0);
static_assert(packedBytes(1, {}) == 32);
static_assert(packedBytes(257, {}) == 16 + 272);
static_assert(packedBytes(4096 + 1, {}) == 64 + 4096 + 32);

}  // namespace qccl::quant
