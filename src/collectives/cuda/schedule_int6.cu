#include "collectives/cuda/schedule_kernel.cuh"

QCCL_SCHEDULE_KERNELS(scheduleInt6, ScaledCodec<qcclCodecInt6, IntCode<6>>)
