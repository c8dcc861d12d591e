// Whatever every processor of the architecture has; the compiler's own vectors.
#define QCCL_KERNEL_ISA baseline

#include "quant/cpu/reduce_kernels.inc.hpp"
