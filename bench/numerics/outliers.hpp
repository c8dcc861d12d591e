// Would it pay to carry the largest values of each block exactly? One quantization, its signal-to-noise ratio against bytes a value.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <string>
#include <vector>

#include "numerics/case.hpp"

namespace qccl::bench::numerics {

struct OutlierCase {
  qcclCodec_t codec = qcclCodecInt4;
  qcclScale_t scale = qcclScaleFloat32;
  int blockElems = 256;
  int exactValues = 0;  // of a block: the largest
  int valueBytes = 2;   // 2: as BF16, 4: as FP32
};

struct OutlierResult {
  OutlierCase what;
  double bytesPerValue = 0;
  double snrDb = 0;
};

std::vector<OutlierCase> outlierCases(const std::vector<qcclCodec_t>& only);

// An exact value costs valueBytes and an index of 1 byte, 2 in blocks of more than 256. It is taken out of its block before that is
// quantized.
OutlierResult measureOutliers(const OutlierCase& c, const std::vector<float>& values);

}  // namespace qccl::bench::numerics
