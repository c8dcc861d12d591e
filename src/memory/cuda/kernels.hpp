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
  std::size_t (*normBackward)(const RmsNormBackward& call, StreamHandle stream);  // returns how many rows of sums it wrote
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

// The shortest block of those kernels: planes of codes then have no padding, and a thread's part of a row lies in known blocks.
inline constexpr std::size_t kMinRowBlockElems = 128;

// What they want arrays of values to be aligned to in the gradients of a norm; others of them take any.
inline constexpr std::size_t kRowAlignment = 16;

// Whether the kernels that take a row at a time take these.
bool hasRowKernel(std::size_t cols, qcclDataType_t dtype, const TensorFormat& format);

// The end of the norm's gradients: adds up that many rows of sums, each of as many neighbouring strips.
void sumStrips(const RmsNormBackward& call, std::size_t sums, StreamHandle stream);

}  // namespace qccl::memory::cuda
