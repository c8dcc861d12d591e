#include "quant/device_codec.hpp"

#include "core/error.hpp"
#include "device/cuda/device_guard.hpp"
#include "quant/cuda/kernels.hpp"

namespace qccl::quant {
namespace {

using device::cuda::DeviceGuard;

const cuda::CodecKernels& kernelsOf(qcclCodec_t codec, qcclDataType_t dtype) {
  const cuda::CodecKernels* kernels = cuda::codecKernels(codec, dtype);
  QCCL_CHECK(kernels != nullptr);
  return *kernels;
}

}  // namespace

void encodeOnDevice(const DeviceQueue& queue, qcclDataType_t dtype, const void* x, std::size_t elems, const EncodeOptions& options,
                    void* packed) {
  const DeviceGuard guard(queue.device);
  kernelsOf(options.format.codec, dtype).encode(x, elems, options, packed, nullptr, queue.stream);
}

void decodeOnDevice(const DeviceQueue& queue, qcclDataType_t dtype, const void* packed, std::size_t elems, const PackedFormat& format,
                    void* out) {
  const DeviceGuard guard(queue.device);
  kernelsOf(format.codec, dtype).decode(packed, elems, format, out, queue.stream);
}

void addEncodeOnDevice(const DeviceQueue& queue, qcclDataType_t dtype, void* packed, const void* x, std::size_t elems,
                       const EncodeOptions& options) {
  const DeviceGuard guard(queue.device);
  kernelsOf(options.format.codec, dtype).addEncode(packed, x, elems, options, packed, nullptr, queue.stream);
}

}  // namespace qccl::quant
