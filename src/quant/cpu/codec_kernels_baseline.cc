// Whatever every processor of the architecture has; the compiler's own vectors.
#define QCCL_KERNEL_ISA baseline

#include "quant/cpu/codec_loops.inc.hpp"

namespace qccl::quant::baseline {
using Loops = ScalarLoops;
}

#include "quant/cpu/codec_kernels.inc.hpp"
