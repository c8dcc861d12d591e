#include "collectives/cuda/sum_kernel.hpp"

namespace qccl::collectives::cuda {

// One source file each (sum_<name>.cu).
SumKernel sumExact(int type, bool stochastic);
SumKernel sumInt8(int type, bool stochastic);
SumKernel sumInt6(int type, bool stochastic);
SumKernel sumInt5(int type, bool stochastic);
SumKernel sumInt4(int type, bool stochastic);
SumKernel sumFp8E4m3(int type, bool stochastic);
SumKernel sumFp8E5m2(int type, bool stochastic);
SumKernel sumFp4E2m1(int type, bool stochastic);
SumKernel sumBf16(int type, bool stochastic);

SumKernel sumKernel(qcclCodec_t codec, qcclDataType_t dtype, bool stochastic) {
  if (dtype != qcclFloat32 && dtype != qcclBfloat16 && dtype != qcclFloat16) return {};
  const int type = dtype == qcclFloat32 ? 0 : dtype == qcclBfloat16 ? 1 : 2;
  switch (codec) {
    case qcclCodecNone:
      return sumExact(type, stochastic);
    case qcclCodecInt8:
      return sumInt8(type, stochastic);
    case qcclCodecInt6:
      return sumInt6(type, stochastic);
    case qcclCodecInt5:
      return sumInt5(type, stochastic);
    case qcclCodecInt4:
      return sumInt4(type, stochastic);
    case qcclCodecFp8E4m3:
      return sumFp8E4m3(type, stochastic);
    case qcclCodecFp8E5m2:
      return sumFp8E5m2(type, stochastic);
    case qcclCodecFp4E2m1:
      return sumFp4E2m1(type, stochastic);
    case qcclCodecBf16:
      return sumBf16(type, stochastic);
    default:
      return {};
  }
}

}  // namespace qccl::collectives::cuda
