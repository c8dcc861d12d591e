#include "collectives/cuda/schedule_kernel.cuh"

QCCL_SCHEDULE_KERNELS(scheduleInt5, ScaledCodec<qcclCodecInt5, IntCode<5>>)
