#define QCCL_KERNEL_ISA avx2
#include "quant/cpu/codec_kernels.inc.hpp"
