#include "collectives/cuda/schedule_kernel.cuh"

QCCL_SCHEDULE_KERNELS(scheduleFp8E5m2, ScaledCodec<qcclCodecFp8E5m2, Fp8E5m2Code>)
