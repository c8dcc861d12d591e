#include "collectives/cuda/codec_kernels.cuh"

QCCL_CODEC_KERNELS(kernelsBf16, Bf16Codec)
