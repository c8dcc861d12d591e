// AVX2; the compiler's own vectors.
#define QCCL_KERNEL_ISA avx2

#include "quant/cpu/reduce_kernels.inc.hpp"
