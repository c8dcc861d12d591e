// Where the parts of a packed buffer lie, worked out once on the host by the functions of wire_format.hpp, so that kernels only shift and
// add: those divide by a block length that is known at run time only.
#pragma once

#include <bit>
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

inline FrameSections sectionsOf(std::size_t elemsInFrame, const PackedFormat& format) {
  const std::size_t low = frameScaleBytes(elemsInFrame, format);
  const std::size_t high = low + planeBytes(elemsInFrame, lowPlaneBits(format.codec));
  return {static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(high), static_cast<std::uint32_t>(frameBytes(elemsInFrame, format))};
}

inline PackedLayout layoutOf(std::size_t elems, const PackedFormat& format) {
  const std::size_t perFrame = frameElems(format.blockElems);
  return {elems,
          elems / perFrame,
          sectionsOf(perFrame, format),
          sectionsOf(elems % perFrame, format),
          static_cast<std::uint32_t>(divideUp(elems % perFrame, format.blockElems) * scaleBytes(format)),
          static_cast<std::uint32_t>(std::countr_zero(format.blockElems)),
          static_cast<std::uint32_t>(std::countr_zero(perFrame)),
          static_cast<std::uint32_t>(scaleBytes(format)),
          format.scale};
}

}  // namespace qccl::quant::cuda
