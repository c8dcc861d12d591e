#include "collectives/cuda/sum_kernel.cuh"

QCCL_SUM_KERNELS(sumInt8, ScaledCodec<qcclCodecInt8, IntCode<8>>)
