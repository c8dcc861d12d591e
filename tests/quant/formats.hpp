// Every packed format, for tests of all of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "core/types.hpp"
#include "quant/wire_format.hpp"

namespace qccl::quant {

inline constexpr qcclScale_t kScales[] = {qcclScaleFloat32, qcclScaleBfloat16, qcclScaleE8m0};

// Every codec with every scale that makes a difference to it.
inline std::vector<PackedFormat> formats(std::size_t blockElems) {
  std::vector<PackedFormat> all;
  for (int codec = qcclCodecInt8; codec < qcclNumCodecs; ++codec) {
    for (const qcclScale_t scale : kScales) {
      if (codec != qcclCodecBf16 || scale == qcclScaleFloat32) all.push_back({static_cast<qcclCodec_t>(codec), scale, blockElems});
    }
  }
  return all;
}

inline std::string nameOf(const PackedFormat& format) {
  return std::string(enumName(qcclEnumCodec, format.codec)) + ", scale " + enumName(qcclEnumScale, format.scale) + ", block " +
         std::to_string(format.blockElems);
}

// Of values[first, first + count), as far as they go: what a block's error is measured by.
inline float largestMagnitude(const std::vector<float>& values, std::size_t first, std::size_t count) {
  float largest = 0.0f;
  for (std::size_t i = first; i < std::min(values.size(), first + count); ++i) largest = std::max(largest, std::fabs(values[i]));
  return largest;
}

}  // namespace qccl::quant
