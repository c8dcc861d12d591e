// Handles of one kind. A handle is a number that is never used twice, not a pointer to be followed: a stale or wild handle is an error with
// a sentence and never a crash.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/error.hpp"

namespace qccl::api {

// `Handle` is a pointer type of the C API. Instances must never be destroyed: threads may still be inside a call while the process ends.
template <typename Handle, typename Object>
class HandleRegistry {
 public:
  // Sentences for NULL and for a handle that is not, or no longer, known.
  HandleRegistry(const char* ifNull, const char* ifUnknown) : ifNull_(ifNull), ifUnknown_(ifUnknown) {}

  Handle add(std::shared_ptr<Object> object) {
    const std::lock_guard lock(mutex_);
    last_ += 16;
    const auto handle = reinterpret_cast<Handle>(last_);  // NOLINT(performance-no-int-to-ptr): opaque on purpose
    living_.emplace(handle, std::move(object));
    return handle;
  }

  // Throws Error(qcclInvalidArgument) if the handle names no living object.
  std::shared_ptr<Object> lookUp(Handle handle) {
    const std::lock_guard lock(mutex_);
    return find(handle)->second;
  }

  // The same, and the handle is gone afterwards; calls in flight keep the object alive until they return.
  std::shared_ptr<Object> takeOut(Handle handle) {
    const std::lock_guard lock(mutex_);
    const auto found = find(handle);
    std::shared_ptr<Object> object = std::move(found->second);
    living_.erase(found);
    return object;
  }

 private:
  auto find(Handle handle) {
    const auto found = living_.find(handle);
    if (found == living_.end()) fail(qcclInvalidArgument, handle == nullptr ? ifNull_ : ifUnknown_);
    return found;
  }

  const char* ifNull_;
  const char* ifUnknown_;
  std::mutex mutex_;
  std::uintptr_t last_ = 0;
  std::unordered_map<Handle, std::shared_ptr<Object>> living_;
};

}  // namespace qccl::api
