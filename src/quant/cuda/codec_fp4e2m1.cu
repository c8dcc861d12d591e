#include "quant/cuda/launch.cuh"

QCCL_CUDA_CODEC(kFp4E2m1Kernels, ScaledCodec<qcclCodecFp4E2m1, Fp4E2m1Code>)
