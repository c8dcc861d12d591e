#include "memory/cuda/launch.cuh"

QCCL_STORE_CODEC(kFp4E2m1Store, ScaledCodec<qcclCodecFp4E2m1, Fp4E2m1Code>)
