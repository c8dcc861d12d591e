// Where the parts of a packed buffer lie, worked out once for a buffer by the functions of wire_format.hpp, mostly on the host, so that
// kernels only shift and add: those functions divide by a block length that is known at run time only.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/wire_format.hpp"

namespace qccl::quant::cuda {

// Offsets in a frame. The scales begin at 0.
struct FrameSections {
  std::uint32_t low;
  std::uint32_t high;
  std::uint32_t end;
};

struct PackedLayout {
  std::uint64_t elems;
  std::uint64_t wholeFrames;
  FrameSections whole;
  FrameSections last;             // of the shorter frame after the whole ones; all 0 if there is none
  std::uint32_t lastScalesBytes;  // that its scales take, without the padding
  std::uint32_t blockShift;
  std::uint32_t frameShift;
  std::uint32_t scaleBytes;
  qcclScale_t scale;
};

QCCL_HD constexpr FrameSections sectionsOf(std::size_t elemsInFrame, const PackedFormat& format) {
  const std::size_t low = frameScaleBytes(elemsInFrame, format);
  const std::size_t high = low + planeBytes(elemsInFrame, lowPlaneBits(format.codec));
  return {static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(high), static_cast<std::uint32_t>(frameBytes(elemsInFrame, format))};
}

QCCL_HD constexpr std::uint32_t log2Of(std::size_t powerOfTwo) {
  std::uint32_t result = 0;
  while (powerOfTwo >> result > 1) ++result;
  return result;
}

QCCL_HD constexpr PackedLayout layoutOf(std::size_t elems, const PackedFormat& format) {
  const std::size_t perFrame = frameElems(format.blockElems);
  return {elems,
          elems / perFrame,
          sectionsOf(perFrame, format),
          sectionsOf(elems % perFrame, format),
          static_cast<std::uint32_t>(divideUp(elems % perFrame, format.blockElems) * scaleBytes(format)),
          log2Of(format.blockElems),
          log2Of(perFrame),
          static_cast<std::uint32_t>(scaleBytes(format)),
          format.scale};
}

// Bytes of the buffer.
QCCL_HD constexpr std::uint64_t bytesOf(const PackedLayout& layout) { return layout.wholeFrames * layout.whole.end + layout.last.end; }

}  // namespace qccl::quant::cuda
