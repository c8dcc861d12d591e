#include "quant/cuda/launch.cuh"

QCCL_CUDA_CODEC(kInt5Kernels, ScaledCodec<qcclCodecInt5, IntCode<5>>)
