#include "collectives/cuda/codec_kernels.cuh"

QCCL_CODEC_KERNELS(kernelsInt4, ScaledCodec<qcclCodecInt4, IntCode<4>>)
