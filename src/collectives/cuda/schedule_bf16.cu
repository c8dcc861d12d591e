#include "collectives/cuda/schedule_kernel.cuh"

QCCL_SCHEDULE_KERNELS(scheduleBf16, Bf16Codec)
