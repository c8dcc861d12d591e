#include "collectives/cuda/codec_kernels.cuh"

QCCL_CODEC_KERNELS(kernelsInt8, ScaledCodec<qcclCodecInt8, IntCode<8>>)
