#define QCCL_KERNEL_ISA avx512
#include "quant/cpu/codec_kernels.inc.hpp"
