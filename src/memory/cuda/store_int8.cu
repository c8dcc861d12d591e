#include "memory/cuda/launch.cuh"

QCCL_STORE_CODEC(kInt8Store, ScaledCodec<qcclCodecInt8, IntCode<8>>)
