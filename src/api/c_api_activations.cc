// extern "C": include/qccl/activations.h.
#include <qccl/activations.h>

#include "api/activation_call.hpp"
#include "api/guard.hpp"
#include "api/pool_guard.hpp"
#include "memory/bit_allocation.hpp"
#include "memory/tensor_codec.hpp"

namespace qccl::api {
namespace {

enum class AfterReading { kept, freed };

void readBack(const char* function, PoolInstance& instance, std::uint64_t microBatch, const qcclSavedTensor_t* tensor, void* values,
              qcclDataType_t dtype, qcclStream_t stream, AfterReading after) {
  const Saved saved = readStorable(function, tensor, dtype);
  requireBuffers(function, instance, {{"values", values}});
  const auto placeOf = after == AfterReading::freed ? restoreOne : peekOne;
  const memory::Place place = placeOf(function, instance, microBatch, saved, stream);
  if (instance.onDevice) {
    memory::loadTensorOnDevice(queueOf(instance, stream), place, saved.elems(), dtype, saved.format(), values);
  } else {
    memory::loadTensor(place, saved.elems(), dtype, saved.format(), values);
  }
}

}  // namespace
}  // namespace qccl::api

using namespace qccl::api;  // NOLINT(google-build-using-namespace): this file is the border
using qccl::memory::Place;

extern "C" {

qcclResult_t qcclActivationSave(qcclPool_t pool, uint64_t microBatch, const qcclSavedTensor_t* tensor, const void* values,
                                qcclDataType_t dtype, qcclStream_t stream) {
  return withPool(pool, [&](PoolInstance& instance) {
    constexpr const char* kFunction = "qcclActivationSave";
    const Saved saved = readStorable(kFunction, tensor, dtype);
    requireBuffers(kFunction, instance, {{"values", values}});
    const Place place = saveOne(instance, microBatch, saved, stream);
    if (instance.onDevice) return storeTensorOnDevice(queueOf(instance, stream), values, saved.elems(), dtype, saved.format(), place);
    qccl::memory::storeTensor(values, saved.elems(), dtype, saved.format(), place);
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
