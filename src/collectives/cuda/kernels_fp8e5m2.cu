#include "collectives/cuda/codec_kernels.cuh"

QCCL_CODEC_KERNELS(kernelsFp8E5m2, ScaledCodec<qcclCodecFp8E5m2, Fp8E5m2Code>)
