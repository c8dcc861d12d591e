#include "memory/cuda/launch.cuh"

QCCL_STORE_CODEC(kInt4Store, ScaledCodec<qcclCodecInt4, IntCode<4>>)
