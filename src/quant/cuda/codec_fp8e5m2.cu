#include "quant/cuda/launch.cuh"

QCCL_CUDA_CODEC(kFp8E5m2Kernels, ScaledCodec<qcclCodecFp8E5m2, Fp8E5m2Code>)
