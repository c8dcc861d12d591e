#include "memory/cuda/launch.cuh"

QCCL_STORE_CODEC(kInt5Store, ScaledCodec<qcclCodecInt5, IntCode<5>>)
