#define QCCL_KERNEL_ISA baseline
#include "quant/cpu/codec_kernels.inc.hpp"
