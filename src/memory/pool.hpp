// The interface of pools for saved activations, and of what stands around one (adaptors).
//
// The forward pass of a micro-batch saves tensors, its backward pass restores them in reverse order. Beside them there is memory for other
// uses, by name and size.
//
// Order of streams. Each call names the stream that the caller's work on the memory is given to (host memory: NULL). What a pool hands out
// may be written at once by work on that stream: where other streams used the memory before, the pool has made this one wait for them.
//  - save: the work that writes the place is given to `stream` before the next call that concerns this micro-batch.
//  - restore and peek: the place may be read by work that is given to `stream` before the next save or allocate on this pool. After restore
//    it is gone.
//  - free: all work on the memory was given to `stream`, or to the stream of its allocate, before.
// Streams must live until the pool is gone, or until their work has ended and another stream has taken over the memory.
//
// Errors. Misuse throws Error(qcclInvalidUsage) with the name of the pool, the tensor and the micro-batch, and changes nothing. A stream
// that cannot be the memory's is Error(qcclInvalidArgument) with the same names.
//
// Not for several threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.hpp"
#include "memory/memory_space.hpp"
#include "memory/saved_tensor.hpp"

namespace qccl::memory {

struct TensorId {
  std::uint64_t microBatch = 0;  // any number that no other micro-batch in flight has
  std::string_view name;
};

// "layers.0.q of micro-batch 3"
inline std::string describe(const TensorId& id) { return strCat(id.name, " of micro-batch ", id.microBatch); }

// Where a saved tensor lies. codes and scales are aligned to kPlaceAlign; scales is nullptr if there are none.
struct Place {
  void* codes = nullptr;
  void* scales = nullptr;
  TensorBytes bytes;
};

// What a piece of memory was called, and what was asked for.
struct Named {
  std::string name;
  std::size_t bytes = 0;
};

struct PoolUsage {
  std::size_t usedBytes = 0;      // asked for and not given back
  std::size_t reservedBytes = 0;  // taken from the memory space
};

class Pool {
 public:
  virtual ~Pool() = default;
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Places for the codes and scales of a tensor. A micro-batch is in flight from its first save to its last restore.
  virtual Place save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) = 0;

  // The place of the tensor that was saved last, for a last reading.
  virtual Place restore(const TensorId& id, StreamHandle stream) = 0;

  // The place of any saved tensor, for reading; it stays saved.
  virtual Place peek(const TensorId& id, StreamHandle stream) = 0;

  // Gives up all that a micro-batch has saved: the end of a step that failed. One that has nothing saved is no error.
  virtual void discard(std::uint64_t microBatch) = 0;

  // Memory for anything else, aligned to kPlaceAlign.
  virtual void* allocate(std::string_view name, std::size_t bytes, StreamHandle stream) = 0;
  virtual Named free(void* memory, StreamHandle stream) = 0;

  // What a micro-batch has saved, in the order of saving.
  virtual std::vector<Named> saved(std::uint64_t microBatch) const = 0;

  virtual PoolUsage usage() const = 0;
  virtual const std::string& name() const = 0;
};

}  // namespace qccl::memory
