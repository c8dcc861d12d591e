#include "memory/cuda/launch.cuh"

QCCL_STORE_CODEC(kInt6Store, ScaledCodec<qcclCodecInt6, IntCode<6>>)
