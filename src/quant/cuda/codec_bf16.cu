#include "quant/cuda/launch.cuh"

QCCL_CUDA_CODEC(kBf16Kernels, Bf16Codec)
