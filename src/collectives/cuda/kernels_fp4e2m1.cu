#include "collectives/cuda/codec_kernels.cuh"

QCCL_CODEC_KERNELS(kernelsFp4E2m1, ScaledCodec<qcclCodecFp4E2m1, Fp4E2m1Code>)
