#include "memory/cuda/launch.cuh"

QCCL_STORE_CODEC(kBf16Store, Bf16Codec)
