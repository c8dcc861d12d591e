// The functions of one instruction set, for dispatch.cc.
#include "model/cpu/simd/kernels.hpp"
#include "model/cpu/simd/level.hpp"

#define QCCL_TEXT_OF(x) #x
#define QCCL_TEXT(x) QCCL_TEXT_OF(x)

namespace qccl::train::simd::QCCL_SIMD_LEVEL {

extern const Kernels kTable;
constinit const Kernels kTable = {QCCL_TEXT(QCCL_SIMD_LEVEL),
                                  QCCL_SIMD_BITS,
                                  rmsNormForward,
                                  rmsNormScale,
                                  rmsNormBackward,
                                  ropeRow,
                                  swigluForward,
                                  swigluBackward,
                                  softmaxRow,
                                  softmaxBackwardRow,
                                  dot,
                                  scale,
                                  add,
                                  expSum,
                                  expScaled};

}  // namespace qccl::train::simd::QCCL_SIMD_LEVEL
