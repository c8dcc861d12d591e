#include "quant/cuda/launch.cuh"

QCCL_CUDA_CODEC(kInt6Kernels, ScaledCodec<qcclCodecInt6, IntCode<6>>)
