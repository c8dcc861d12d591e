// AVX-512 F, BW, VL and DQ; the compiler's own vectors.
#define QCCL_KERNEL_ISA avx512

#include "quant/cpu/reduce_kernels.inc.hpp"
