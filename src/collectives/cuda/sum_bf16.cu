#include "collectives/cuda/sum_kernel.cuh"

QCCL_SUM_KERNELS(sumBf16, Bf16Codec)
