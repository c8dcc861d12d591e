#include "memory/cuda/launch.cuh"

QCCL_STORE_CODEC(kFp8E5m2Store, ScaledCodec<qcclCodecFp8E5m2, Fp8E5m2Code>)
