#include "collectives/cuda/codec_kernels.cuh"

QCCL_CODEC_KERNELS(kernelsFp8E4m3, ScaledCodec<qcclCodecFp8E4m3, Fp8E4m3Code>)
