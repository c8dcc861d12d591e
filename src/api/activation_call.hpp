// What calls that save into pools and restore from them have in common.
#pragma once

#include <qccl/memory.h>

#include <initializer_list>

#include "api/memory_handles.hpp"
#include "memory/fused.hpp"

namespace qccl::api {

struct NamedPointer {
  const char* name;
  const void* pointer;
};

// Throws Error(qcclInvalidArgument) unless there are all buffers, where the pool is. The stream is not looked at: the
// pool itself refuses one, and names the tensor.
void requireBuffers(const char* function, const PoolInstance& instance, std::initializer_list<NamedPointer> buffers);

// What a call on a pool in GPU memory is given to.
quant::DeviceQueue queueOf(const PoolInstance& instance, qcclStream_t stream);

// A tensor that values of dtype can be saved in, checked.
struct Saved {
  const char* name;
  memory::TensorBytes bytes;

  std::size_t elems() const { return bytes.content.elems; }
  const memory::TensorFormat& format() const { return bytes.content.format; }
};
Saved readStorable(const char* function, const qcclSavedTensor_t* tensor, qcclDataType_t dtype);

memory::Place saveOne(PoolInstance& instance, uint64_t microBatch, const Saved& saved, qcclStream_t stream);

// The place of a tensor that stays saved. Throws Error(qcclInvalidArgument) unless it was saved as this.
memory::Place peekOne(const char* function, PoolInstance& instance, uint64_t microBatch, const Saved& saved, qcclStream_t stream);

// The places of tensors for a last reading, `last` being what was saved last. Both are looked at before any is given up, so that a mistake
// in a tensor loses nothing.
memory::Place restoreOne(const char* function, PoolInstance& instance, uint64_t microBatch, const Saved& saved, qcclStream_t stream);

struct TwoPlaces {
  memory::Place first, last;
};
TwoPlaces restoreTwo(const char* function, PoolInstance& instance, uint64_t microBatch, const Saved& first, const Saved& last,
                     qcclStream_t stream);

}  // namespace qccl::api
