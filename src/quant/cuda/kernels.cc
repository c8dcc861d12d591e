#include "quant/cuda/kernels.hpp"

#include <iterator>

#include "quant/codec_table.hpp"

namespace qccl::quant::cuda {

// One source file each (codec_<name>.cu).
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
  return kernelsIn(kCodecs, codec, dtype);
}

}  // namespace qccl::quant::cuda
