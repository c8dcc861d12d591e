#include "collectives/cuda/schedule_kernel.cuh"

QCCL_SCHEDULE_KERNELS(scheduleInt8, ScaledCodec<qcclCodecInt8, IntCode<8>>)
