// What the codec benchmarks measure, on the host and on devices: the kernels' functions under one set of names, and the bytes they move.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <utility>

#include "quant/kernels.hpp"

namespace qccl::quant {

// encodeCounted: encode that also counts losses.
enum class Work { encode, encodeCounted, encodeStochastic, decode, decodeAdd, addEncode, encodeFeedback };

inline constexpr std::pair<Work, const char*> kWorks[] = {{Work::encode, "encode"},
                                                          {Work::encodeCounted, "encodeCounted"},
                                                          {Work::encodeStochastic, "encodeStochastic"},
                                                          {Work::decode, "decode"},
                                                          {Work::decodeAdd, "decodeAdd"},
                                                          {Work::addEncode, "addEncode"},
                                                          {Work::encodeFeedback, "encodeFeedback"}};

// use(work, name, dtype) for everything to be measured. Sums are FP32 whatever the values are: decodeAdd is one kernel.
template <typename Use>
void forEachWork(Use use) {
  for (const auto& [work, name] : kWorks) {
    for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
      if (work != Work::decodeAdd || dtype == qcclFloat32) use(work, name, dtype);
    }
  }
}

// What a call reads and writes, each byte counted once each way: addEncode reads and writes the codes, encodeFeedback the residual.
inline std::size_t movedBytes(Work work, std::size_t elems, std::size_t valueBytes, const PackedFormat& format) {
  const std::size_t codeBytes = packedBytes(elems, format);
  switch (work) {
    case Work::decodeAdd:
      return codeBytes + 2 * elems * sizeof(float);
    case Work::addEncode:
      return 2 * codeBytes + valueBytes;
    case Work::encodeFeedback:
      return codeBytes + valueBytes + 2 * packedBytes(elems, residualFormat(format.blockElems));
    default:
      return codeBytes + valueBytes;
  }
}

}  // namespace qccl::quant
