#include <algorithm>
#include <initializer_list>

#include "core/error.hpp"
#include "core/types.hpp"
#include "device/cuda/device_guard.hpp"
#include "device/cuda/memory.hpp"
#include "memory/cuda/kernels.hpp"
#include "quant/codec_table.hpp"

namespace qccl::memory {
namespace cuda {

// One source file each (store_<name>.cu).
extern const StoreKernels kInt8Store[3];
extern const StoreKernels kInt6Store[3];
extern const StoreKernels kInt5Store[3];
extern const StoreKernels kInt4Store[3];
extern const StoreKernels kFp8E4m3Store[3];
extern const StoreKernels kFp8E5m2Store[3];
extern const StoreKernels kFp4E2m1Store[3];
extern const StoreKernels kBf16Store[3];
extern const StoreKernels kExactStore[3];

namespace {

const StoreKernels& kernelsOf(const TensorFormat& format, qcclDataType_t dtype) {
  static const StoreKernels* const kCodecs[] = {kInt8Store,    kInt6Store,    kInt5Store,    kInt4Store,
                                                kFp8E4m3Store, kFp8E5m2Store, kFp4E2m1Store, kBf16Store};
  static const StoreKernels* const kExact[] = {kExactStore};
  const bool exact = format.codec == qcclCodecNone;
  const StoreKernels* kernels =
      exact ? quant::kernelsIn(kExact, static_cast<qcclCodec_t>(1), dtype) : quant::kernelsIn(kCodecs, format.codec, dtype);
  QCCL_CHECK(kernels != nullptr);
  return *kernels;
}

void store(const void* values, std::size_t elems, qcclDataType_t dtype, const TensorFormat& format, const Place& place,
           StreamHandle stream) {
  if (format.codec == qcclCodecNone) return device::cuda::copyAsync(place.codes, values, place.bytes.codes, stream);
  kernelsOf(format, dtype).store(values, elems, format, place, stream);
}

bool areRowsAligned(std::initializer_list<const void*> arrays) {
  return std::ranges::all_of(arrays, [](const void* array) { return reinterpret_cast<std::uintptr_t>(array) % kRowAlignment == 0; });
}

}  // namespace

bool hasRowKernel(std::size_t cols, qcclDataType_t dtype, const TensorFormat& format) {
  constexpr std::size_t kWarpThreads = 32;  // which share no longer block
  const std::size_t threadElems = kRowThreadBytes / typeSize(dtype);
  const bool scaled = format.codec != qcclCodecNone && format.codec != qcclCodecBf16;
  const std::size_t block = scaled ? format.blockElems : kMinRowBlockElems;
  return block >= kMinRowBlockElems && block <= kWarpThreads * threadElems && cols % block == 0 && cols <= kMaxRowThreads * threadElems;
}

}  // namespace cuda

using device::cuda::DeviceGuard;

void storeTensorOnDevice(const DeviceQueue& queue, const void* values, std::size_t elems, qcclDataType_t dtype, const TensorFormat& format,
                         const Place& place) {
  QCCL_CHECK(place.bytes == storedBytes(elems, format));
  const DeviceGuard guard(queue.device);
  cuda::store(values, elems, dtype, format, place, queue.stream);
}

void loadTensorOnDevice(const DeviceQueue& queue, const Place& place, std::size_t elems, qcclDataType_t dtype, const TensorFormat& format,
                        void* values) {
  QCCL_CHECK(place.bytes == storedBytes(elems, format));
  const DeviceGuard guard(queue.device);
  if (format.codec == qcclCodecNone) return device::cuda::copyAsync(values, place.codes, place.bytes.codes, queue.stream);
  cuda::kernelsOf(format, dtype).load(place, elems, format, values, queue.stream);
}

void rmsNormForwardOnDevice(const DeviceQueue& queue, const RmsNormForward& call) {
  const DeviceGuard guard(queue.device);
  if (!cuda::hasRowKernel(call.cols, call.dtype, call.format)) cuda::anyCodecKernels(call.dtype).normStatistics(call, queue.stream);
  cuda::kernelsOf(call.format, call.dtype).normForward(call, queue.stream);
}

void rmsNormBackwardOnDevice(const DeviceQueue& queue, const RmsNormBackward& call) {
  const DeviceGuard guard(queue.device);
  const bool aligned = cuda::areRowsAligned({call.dOutput, call.weight, call.dX, call.output});
  const std::size_t sums = aligned && cuda::hasRowKernel(call.cols, call.dtype, call.format)
                               ? cuda::kernelsOf(call.format, call.dtype).normBackward(call, queue.stream)
                               : cuda::anyCodecKernels(call.dtype).normBackward(call, queue.stream);
  cuda::sumStrips(call, sums, queue.stream);
}

void swigluForwardOnDevice(const DeviceQueue& queue, const SwigluForward& call) {
  const DeviceGuard guard(queue.device);
  if (call.gateFormat == call.upFormat && call.gateFormat.codec != qcclCodecNone) {
    return cuda::kernelsOf(call.gateFormat, call.dtype).swigluForward(call, queue.stream);
  }
  cuda::store(call.gate, call.elems, call.dtype, call.gateFormat, call.gatePlace, queue.stream);
  cuda::store(call.up, call.elems, call.dtype, call.upFormat, call.upPlace, queue.stream);
  cuda::anyCodecKernels(call.dtype).swigluProduct(call, queue.stream);
}

void swigluBackwardOnDevice(const DeviceQueue& queue, const SwigluBackward& call) {
  const DeviceGuard guard(queue.device);
  if (call.gateFormat == call.upFormat) {
    cuda::kernelsOf(call.gateFormat, call.dtype).swigluBackward(call, queue.stream);
  } else {
    cuda::anyCodecKernels(call.dtype).swigluBackward(call, queue.stream);
  }
}

}  // namespace qccl::memory
