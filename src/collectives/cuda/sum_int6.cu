#include "collectives/cuda/sum_kernel.cuh"

QCCL_SUM_KERNELS(sumInt6, ScaledCodec<qcclCodecInt6, IntCode<6>>)
