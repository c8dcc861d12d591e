#include "quant/cuda/launch.cuh"

QCCL_CUDA_CODEC(kInt8Kernels, ScaledCodec<qcclCodecInt8, IntCode<8>>)
