#include "collectives/cuda/sum_kernel.cuh"

QCCL_SUM_KERNELS(sumInt4, ScaledCodec<qcclCodecInt4, IntCode<4>>)
