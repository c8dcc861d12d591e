#include "quant/cuda/kernels.hpp"

#include <iterator>

namespace qccl::quant::cuda {

// One source file each (codec_<name>.cu); FP32, BF16, FP16.
extern const CodecKernels kInt8Kernels[3];
extern const CodecKernels kInt6Kernels[3];
extern const CodecKernels kInt5Kernels[3];
extern const CodecKernels kInt4Kernels[3];
extern const CodecKernels kFp8E4m3Kernels[3];
extern const CodecKernels kFp8E5m2Kernels[3];
extern const CodecKernels kFp4E2m1Kernels[3];
extern const CodecKernels kBf16Kernels[3];

const CodecKernels* codecKernels(qcclCodec_t codec, qcclDataType_t dtype) {
  static const CodecKernels* const kCodecs[] = {kInt8Kernels,    kInt6Kernels,    kInt5Kernels,    kInt4Kernels,
                                                kFp8E4m3Kernels, kFp8E5m2Kernels, kFp4E2m1Kernels, kBf16Kernels};
  static_assert(std::size(kCodecs) == qcclNumCodecs - 1);
  if (codec <= qcclCodecNone || codec >= qcclNumCodecs) return nullptr;
  const CodecKernels* byType = kCodecs[codec - 1];
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

}  // namespace qccl::quant::cuda
