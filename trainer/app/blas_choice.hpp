// OpenBLAS chooses its kernels by the processor's model number when it is loaded, and takes those of a Pentium 4 for a model that is newer
// than itself: several times slower than the machine can.
#pragma once

namespace qccl::train {

// Call first thing in main(). If OpenBLAS has made that mistake, starts this program again in this process with OPENBLAS_CORETYPE set by
// what the processor can do; ranks that are started later inherit it. Does nothing if the variable is set already, on other processors and
// with other BLAS libraries.
void correctBlasKernels(char* const argv[]);

}  // namespace qccl::train
