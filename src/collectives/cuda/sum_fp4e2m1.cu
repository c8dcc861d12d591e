#include "collectives/cuda/sum_kernel.cuh"

QCCL_SUM_KERNELS(sumFp4E2m1, ScaledCodec<qcclCodecFp4E2m1, Fp4E2m1Code>)
