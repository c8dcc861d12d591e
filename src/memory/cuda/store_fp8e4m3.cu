#include "memory/cuda/launch.cuh"

QCCL_STORE_CODEC(kFp8E4m3Store, ScaledCodec<qcclCodecFp8E4m3, Fp8E4m3Code>)
