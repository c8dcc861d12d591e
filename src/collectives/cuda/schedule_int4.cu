#include "collectives/cuda/schedule_kernel.cuh"

QCCL_SCHEDULE_KERNELS(scheduleInt4, ScaledCodec<qcclCodecInt4, IntCode<4>>)
