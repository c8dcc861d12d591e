#include "collectives/cuda/sum_kernel.cuh"

QCCL_SUM_KERNELS(sumInt5, ScaledCodec<qcclCodecInt5, IntCode<5>>)
