#include "collectives/cuda/codec_kernels.cuh"

QCCL_CODEC_KERNELS(kernelsInt6, ScaledCodec<qcclCodecInt6, IntCode<6>>)
