#include "api/activation_call.hpp"

#include "api/pool_guard.hpp"
#include "api/saved_tensor.hpp"
#include "core/types.hpp"
#include "device/pointer_kind.hpp"
#include "memory/tensor_codec.hpp"

namespace qccl::api {
namespace {

std::string placeName(device::PointerKind kind, int device) {
  return kind == device::PointerKind::host ? "host memory" : strCat("the memory of GPU ", device);
}

}  // namespace

void requireBuffers(const char* function, const PoolInstance& instance, std::initializer_list<NamedPointer> buffers) {
  for (const NamedPointer& buffer : buffers) requireNonNull(buffer.pointer, function, buffer.name);
  const device::PointerKind kind = instance.onDevice ? device::PointerKind::device : device::PointerKind::host;
  for (const NamedPointer& buffer : buffers) {
    const device::PointerInfo place = device::pointerInfo(buffer.pointer);
    if (place.kind == kind && (!instance.onDevice || place.device == instance.device)) continue;
    fail(qcclInvalidArgument, function, ": ", buffer.name, " is in ", placeName(place.kind, place.device), ", pool ", instance.pool->name(),
         " in ", placeName(kind, instance.device), "; pass buffers of the pool's memory");
  }
}

quant::DeviceQueue queueOf(const PoolInstance& instance, qcclStream_t stream) { return {instance.device, streamOf(stream)}; }

Saved readStorable(const char* function, const qcclSavedTensor_t* tensor, qcclDataType_t dtype) {
  const memory::TensorBytes bytes = readTensorBytes(function, tensor);
  requireNonNull(tensor->name, function, "tensor->name");
  if (typeSize(dtype) == 0) fail(qcclInvalidArgument, function, ": data type ", static_cast<int>(dtype), " is unknown; see qcclDataType_t");
  memory::requireStorable(function, dtype, bytes.content.format);
  return {tensor->name, bytes};
}

memory::Place saveOne(PoolInstance& instance, uint64_t microBatch, const Saved& saved, qcclStream_t stream) {
  return instance.pool->save({microBatch, saved.name}, saved.bytes, streamOf(stream));
}

memory::Place peekOne(const char* function, PoolInstance& instance, uint64_t microBatch, const Saved& saved, qcclStream_t stream) {
  const memory::Place place = instance.pool->peek({microBatch, saved.name}, streamOf(stream));
  if (place.bytes == saved.bytes) return place;
  const memory::TensorContent& is = place.bytes.content;
  fail(qcclInvalidArgument, function, ": pool ", instance.pool->name(), ": ", memory::describe({microBatch, saved.name}), " was saved as ",
       is.elems, " values of ", formatName(is.format), ", not as ", saved.elems(), " of ", formatName(saved.format()),
       "; pass the tensor as it was saved");
}

memory::Place restoreOne(const char* function, PoolInstance& instance, uint64_t microBatch, const Saved& saved, qcclStream_t stream) {
  (void)peekOne(function, instance, microBatch, saved, stream);
  return instance.pool->restore({microBatch, saved.name}, streamOf(stream));
}

TwoPlaces restoreTwo(const char* function, PoolInstance& instance, uint64_t microBatch, const Saved& first, const Saved& last,
                     qcclStream_t stream) {
  (void)peekOne(function, instance, microBatch, first, stream);
  const memory::Place lastPlace = restoreOne(function, instance, microBatch, last, stream);
  return {instance.pool->restore({microBatch, first.name}, streamOf(stream)), lastPlace};
}

}  // namespace qccl::api
