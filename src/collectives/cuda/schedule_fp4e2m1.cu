#include "collectives/cuda/schedule_kernel.cuh"

QCCL_SCHEDULE_KERNELS(scheduleFp4E2m1, ScaledCodec<qcclCodecFp4E2m1, Fp4E2m1Code>)
