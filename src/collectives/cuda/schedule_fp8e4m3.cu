#include "collectives/cuda/schedule_kernel.cuh"

QCCL_SCHEDULE_KERNELS(scheduleFp8E4m3, ScaledCodec<qcclCodecFp8E4m3, Fp8E4m3Code>)
