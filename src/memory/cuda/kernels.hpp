// The launches of the store's kernels, for one codec: rows of types F32, Bf16, F16. Codec none has those of the norm and of the gradients
// of SwiGLU; values themselves are copied (nullptr).
#pragma once

#include <qccl/qccl.h>

#include "memory/fused.hpp"

namespace qccl::memory::cuda {

using device::StreamHandle;

struct StoreKernels {
  void (*store)(const void* values, std::size_t elems, const TensorFormat& format, const Place& place, StreamHandle stream);
  void (*load)(const Place& place, std::size_t elems, const TensorFormat& format, void* values, StreamHandle stream);
  void (*normForward)(const RmsNormForward& call, StreamHandle stream);
  std::size_t (*normBackward)(const RmsNormBackward& call, StreamHandle stream);  // returns for how many strips sums were written
  void (*swigluForward)(const SwigluForward& call, StreamHandle stream);          // both tensors in this codec, in one format
  void (*swigluBackward)(const SwigluBackward& call, StreamHandle stream);        // the same
};

// What does not depend on the codec, or is for any (any_codec.cu).
struct AnyCodecKernels {
  void (*swigluProduct)(const SwigluForward& call, StreamHandle stream);  // without saving
  void (*swigluBackward)(const SwigluBackward& call, StreamHandle stream);
  void (*normStatistics)(const RmsNormForward& call, StreamHandle stream);        // rstd alone
  std::size_t (*normBackward)(const RmsNormBackward& call, StreamHandle stream);  // as above
};

const AnyCodecKernels& anyCodecKernels(qcclDataType_t dtype);

// The most threads of a block that works on a row, and the bytes of values that each has of it (quant/cuda/tile.cuh).
inline constexpr std::size_t kMaxRowThreads = 512;
inline constexpr std::size_t kRowThreadBytes = 64;

// Whether the kernels that take a row at a time take these.
bool hasRowKernel(std::size_t cols, qcclDataType_t dtype, const TensorFormat& format);

// The end of the norm's gradients: adds up the sums of as many strips, or of as many groups of neighbouring strips.
void sumStrips(const RmsNormBackward& call, std::size_t strips, StreamHandle stream);

}  // namespace qccl::memory::cuda
