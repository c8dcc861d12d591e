#include "quant/cuda/launch.cuh"

QCCL_CUDA_CODEC(kFp8E4m3Kernels, ScaledCodec<qcclCodecFp8E4m3, Fp8E4m3Code>)
