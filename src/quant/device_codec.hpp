// Codec kernels on GPU memory, for those who do not know whether there is CUDA in the build. Without it no memory is a GPU's
// (device/pointer_kind.hpp), and nothing here is reached.
//
// Each function enqueues what the one of its name in CodecKernels (kernels.hpp) does and returns; it can be captured in a CUDA graph.
// Losses are not counted. Codec and data type must be among those of codecKernels(). Throws Error(qcclUnhandledCudaError).
#pragma once

#include <qccl/qccl.h>

#include <cstddef>

#include "device/stream_handle.hpp"
#include "quant/kernels.hpp"

namespace qccl::quant {

// The GPU whose memory all buffers of a call are, and what the call is ordered on.
struct DeviceQueue {
  int device;
  device::StreamHandle stream;
};

void encodeOnDevice(const DeviceQueue& queue, qcclDataType_t dtype, const void* x, std::size_t elems, const EncodeOptions& options,
                    void* packed);
void decodeOnDevice(const DeviceQueue& queue, qcclDataType_t dtype, const void* packed, std::size_t elems, const PackedFormat& format,
                    void* out);
// To the codes that `packed` holds.
void addEncodeOnDevice(const DeviceQueue& queue, qcclDataType_t dtype, void* packed, const void* x, std::size_t elems,
                       const EncodeOptions& options);

}  // namespace qccl::quant
