#include "collectives/cuda/codec_kernels.cuh"

QCCL_CODEC_KERNELS(kernelsInt5, ScaledCodec<qcclCodecInt5, IntCode<5>>)
