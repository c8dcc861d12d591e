#include "collectives/cuda/kernel_call.hpp"

namespace qccl::collectives::cuda {

// One source file each (kernels_<name>.cu).
CodecKernels kernelsExact(int type);
CodecKernels kernelsInt8(int type);
CodecKernels kernelsInt6(int type);
CodecKernels kernelsInt5(int type);
CodecKernels kernelsInt4(int type);
CodecKernels kernelsFp8E4m3(int type);
CodecKernels kernelsFp8E5m2(int type);
CodecKernels kernelsFp4E2m1(int type);
CodecKernels kernelsBf16(int type);

namespace {

CodecKernels kernelsOf(qcclCodec_t codec, int type) {
  switch (codec) {
    case qcclCodecNone:
      return kernelsExact(type);
    case qcclCodecInt8:
      return kernelsInt8(type);
    case qcclCodecInt6:
      return kernelsInt6(type);
    case qcclCodecInt5:
      return kernelsInt5(type);
    case qcclCodecInt4:
      return kernelsInt4(type);
    case qcclCodecFp8E4m3:
      return kernelsFp8E4m3(type);
    case qcclCodecFp8E5m2:
      return kernelsFp8E5m2(type);
    case qcclCodecFp4E2m1:
      return kernelsFp4E2m1(type);
    case qcclCodecBf16:
      return kernelsBf16(type);
    default:
      return {};
  }
}

// Of the types that are summed in FP32; -1 for others.
int typeIndex(qcclDataType_t dtype) { return dtype == qcclFloat32 ? 0 : dtype == qcclBfloat16 ? 1 : dtype == qcclFloat16 ? 2 : -1; }

}  // namespace

CallKernel scheduleKernel(qcclCodec_t codec, qcclDataType_t dtype, bool stochastic) {
  const int type = typeIndex(dtype);
  return type < 0 ? CallKernel{} : kernelsOf(codec, type).schedule[stochastic ? 1 : 0];
}

CallKernel packedKernel(qcclCodec_t codec, bool stochastic) { return kernelsOf(codec, typeIndex(qcclFloat32)).packed[stochastic ? 1 : 0]; }

CallKernel sumKernel(qcclCodec_t codec, qcclDataType_t dtype, bool stochastic) {
  const int type = typeIndex(dtype);
  return type < 0 ? CallKernel{} : kernelsOf(codec, type).sum[stochastic ? 1 : 0];
}

CallKernel oneshotKernel(qcclCodec_t codec, qcclDataType_t dtype, bool stochastic, bool usual) {
  const int type = typeIndex(dtype);
  if (type < 0) return {};
  const CodecKernels kernels = kernelsOf(codec, type);
  return usual ? kernels.usualOneshot : kernels.oneshot[stochastic ? 1 : 0];
}

}  // namespace qccl::collectives::cuda
