// extern "C": include/qccl/activations.h.
#include <qccl/activations.h>

#include "api/guard.hpp"
#include "api/pool_guard.hpp"
#include "api/saved_tensor.hpp"
#include "core/types.hpp"
#include "device/pointer_kind.hpp"
#include "memory/bit_allocation.hpp"
#include "memory/tensor_codec.hpp"

namespace qccl::api {
namespace {

using memory::Place;
using memory::TensorFormat;

// A tensor and its values, checked.
TensorFormat readTensor(const char* function, const qcclSavedTensor_t* tensor, const void* values, qcclDataType_t dtype) {
  readTensorBytes(function, tensor);
  requireNonNull(tensor->name, function, "tensor->name");
  requireNonNull(values, function, "values");
  const TensorFormat format = readTensorFormat(function, tensor->format, tensor->dtype);
  if (typeSize(dtype) == 0) fail(qcclInvalidArgument, function, ": data type ", static_cast<int>(dtype), " is unknown; see qcclDataType_t");
  memory::requireStorable(function, dtype, format);
  if (device::pointerInfo(values).kind != device::PointerKind::host) {
    fail(qcclInvalidArgument, function, ": the values of ", tensor->name,
         " are in GPU memory; this version quantizes activations in host memory only");
  }
  return format;
}

void requireHostMemory(const char* function, const PoolInstance& instance) {
  if (!instance.onDevice) return;
  fail(qcclInvalidArgument, function, ": pool ", instance.pool->name(),
       " is in GPU memory; this version quantizes activations in host memory only");
}

enum class AfterReading { kept, freed };

// The values of a saved tensor. It is looked at before it is given up, so that a mistake in the tensor's size loses nothing.
void readBack(const char* function, PoolInstance& instance, std::uint64_t microBatch, const qcclSavedTensor_t* tensor, void* values,
              qcclDataType_t dtype, qcclStream_t stream, AfterReading after) {
  const TensorFormat format = readTensor(function, tensor, values, dtype);
  requireHostMemory(function, instance);
  Place place = instance.pool->peek({microBatch, tensor->name}, streamOf(stream));
  if (place.bytes != memory::storedBytes(tensor->elems, format)) {
    fail(qcclInvalidArgument, function, ": ", tensor->name, " of micro-batch ", microBatch, " was saved as ", place.bytes.total(),
         " bytes, which ", tensor->elems, " values as ", formatName(format), " are not; pass the tensor as it was saved");
  }
  if (after == AfterReading::freed) place = instance.pool->restore({microBatch, tensor->name}, streamOf(stream));
  memory::loadTensor(place, tensor->elems, dtype, format, values);
}

}  // namespace
}  // namespace qccl::api

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border

extern "C" {

qcclResult_t qcclActivationSave(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* tensor, const void* values,
                                qcclDataType_t dtype, qcclStream_t stream) {
  return withPool(pool, [&](PoolInstance& instance) {
    constexpr const char* kFunction = "qcclActivationSave";
    const TensorFormat format = readTensor(kFunction, tensor, values, dtype);
    requireHostMemory(kFunction, instance);
    const Place place = instance.pool->save({microBatch, tensor->name}, qccl::memory::storedBytes(tensor->elems, format), streamOf(stream));
    qccl::memory::storeTensor(values, tensor->elems, dtype, format, place);
  });
}

qcclResult_t qcclActivationRead(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* tensor, void* values, qcclDataType_t dtype,
                                qcclStream_t stream) {
  return withPool(pool, [&](PoolInstance& instance) {
    readBack("qcclActivationRead", instance, microBatch, tensor, values, dtype, stream, AfterReading::kept);
  });
}

qcclResult_t qcclActivationRestore(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* tensor, void* values,
                                   qcclDataType_t dtype, qcclStream_t stream) {
  return withPool(pool, [&](PoolInstance& instance) {
    readBack("qcclActivationRestore", instance, microBatch, tensor, values, dtype, stream, AfterReading::freed);
  });
}

qcclResult_t qcclAllocateBits(const qcclBitItem_t* items, size_t numItems, uint64_t budgetBytes, size_t* choice, uint64_t* totalBytes,
                              double* totalError) {
  return guard([&] {
    if (numItems > 0) {
      requireNonNull(items, "qcclAllocateBits", "items");
      requireNonNull(choice, "qcclAllocateBits", "choice");
    }
    std::vector<qccl::memory::BitItem> all;
    for (size_t i = 0; i < numItems; ++i) {
      requireNonNull(items[i].name, "qcclAllocateBits", "items[].name");
      if (items[i].numChoices > 0) requireNonNull(items[i].choices, "qcclAllocateBits", "items[].choices");
      qccl::memory::BitItem& item = all.emplace_back();
      item.name = items[i].name;
      for (size_t c = 0; c < items[i].numChoices; ++c) {
        item.choices.push_back({items[i].choices[c].bits, items[i].choices[c].bytes, items[i].choices[c].error});
      }
    }
    const qccl::memory::BitAllocation allocation = qccl::memory::allocateBits(all, budgetBytes);
    for (size_t i = 0; i < numItems; ++i) choice[i] = allocation.choice[i];
    if (totalBytes != nullptr) *totalBytes = allocation.bytes;
    if (totalError != nullptr) *totalError = allocation.error;
  });
}

}  // extern "C"
