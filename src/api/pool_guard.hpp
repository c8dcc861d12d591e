// What every extern "C" function on a pool does around its body.
#pragma once

#include "api/guard.hpp"
#include "api/memory_handles.hpp"
#include "memory/pool.hpp"

namespace qccl::api {

// Runs `body` on the pool that a handle names, while no other thread does.
template <typename Body>
qcclResult_t withPool(qcclPool_t handle, Body body) {
  return guard([&] {
    const auto instance = lookUp(handle);
    const std::lock_guard lock(instance->mutex);
    if (instance->pool == nullptr) fail(qcclInvalidArgument, "the pool was destroyed by another thread");
    body(*instance);
  });
}

inline memory::StreamHandle streamOf(qcclStream_t stream) { return static_cast<memory::StreamHandle>(stream); }

}  // namespace qccl::api
