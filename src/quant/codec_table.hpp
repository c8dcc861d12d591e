// How tables of codec kernels are laid out, on the host and on devices: a row for each codec from int8 on, in a row FP32, BF16 and FP16.
#pragma once

#include <qccl/qccl.h>

namespace qccl::quant {

// The kernels of a table, rows[codec - 1][type]; nullptr for codec none and for a type that is not quantizable.
template <typename Rows>
auto kernelsIn(const Rows& rows, qcclCodec_t codec, qcclDataType_t dtype) -> decltype(&rows[0][0]) {
  if (codec <= qcclCodecNone || codec >= qcclNumCodecs) return nullptr;
  const auto& byType = rows[codec - 1];
  switch (dtype) {
    case qcclFloat32:
      return &byType[0];
    case qcclBfloat16:
      return &byType[1];
    case qcclFloat16:
      return &byType[2];
    default:
      return nullptr;
  }
}

}  // namespace qccl::quant
