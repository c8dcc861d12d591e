#include "collectives/cuda/sum_kernel.cuh"

QCCL_SUM_KERNELS(sumFp8E5m2, ScaledCodec<qcclCodecFp8E5m2, Fp8E5m2Code>)
