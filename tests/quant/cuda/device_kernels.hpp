// The kernels of a CUDA device in the shape of the host's, so that one suite tests both.
#pragma once

#include "quant/kernels.hpp"

namespace qccl::test {

// Functions on host memory: each copies its buffers to the device, as far from an aligned address as they are here, runs the device's
// kernel, and copies back what it may write. A byte written beside a buffer fails the running test.
const quant::CodecKernels* deviceKernels(qcclDataType_t dtype);

}  // namespace qccl::test
