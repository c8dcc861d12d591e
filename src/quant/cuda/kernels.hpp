// The codec kernels on CUDA devices: the functions of CodecKernels (quant/kernels.hpp) on device memory, ordered on a stream. They give the
// oracle's bits (reference.hpp), whatever the device and the shape of the launch.
//
// Each returns as soon as it is launched, from the device that is current, and can be captured in a CUDA graph. All pointers are memory
// that the device can read and write; value pointers need the alignment of their type only, packed pointers that of kSectionAlign.
// `counts` may be nullptr; otherwise it is device memory too, aligned to 8 bytes, and added to. Throws Error(qcclUnhandledCudaError) if the
// launch fails; errors of the running kernel are reported by whoever waits for the stream.
//
// A sum that is NaN has the bits that the host's processors give it, unless two of its operands are NaNs, where processors differ.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>

#include "device/stream_handle.hpp"
#include "quant/kernels.hpp"

namespace qccl::quant::cuda {

using device::StreamHandle;

struct CodecKernels {
  void (*encode)(const void* x, std::size_t elems, const EncodeOptions& options, void* packed, EncodeCounts* counts, StreamHandle stream);
  void (*decode)(const void* packed, std::size_t elems, const PackedFormat& format, void* out, StreamHandle stream);
  void (*decodeAdd)(const void* packed, std::size_t elems, const PackedFormat& format, float* sum, StreamHandle stream);
  void (*addEncode)(const void* packedIn, const void* x, std::size_t elems, const EncodeOptions& options, void* packed,
                    EncodeCounts* counts, StreamHandle stream);
  void (*encodeFeedback)(const void* x, std::size_t elems, const EncodeOptions& options, void* residual, void* packed, EncodeCounts* counts,
                         StreamHandle stream);
};

// nullptr for codec none and for a type that is not quantizable. Needs no device and calls no driver.
const CodecKernels* codecKernels(qcclCodec_t codec, qcclDataType_t dtype);

}  // namespace qccl::quant::cuda
