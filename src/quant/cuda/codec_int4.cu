#include "quant/cuda/launch.cuh"

QCCL_CUDA_CODEC(kInt4Kernels, ScaledCodec<qcclCodecInt4, IntCode<4>>)
