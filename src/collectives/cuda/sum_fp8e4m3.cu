#include "collectives/cuda/sum_kernel.cuh"

QCCL_SUM_KERNELS(sumFp8E4m3, ScaledCodec<qcclCodecFp8E4m3, Fp8E4m3Code>)
