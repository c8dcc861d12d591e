#include "api/handles.hpp"

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "core/error.hpp"

namespace qccl::api {
namespace {

using CommunicatorPtr = std::shared_ptr<collectives::Communicator>;

struct Registry {
  std::mutex mutex;
  std::uintptr_t last = 0;
  std::unordered_map<qcclComm_t, CommunicatorPtr> living;
};

// Never destroyed: threads may still be inside a call while the process ends.
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

[[noreturn]] void failUnknown(qcclComm_t handle) {
  if (handle == nullptr)
    fail(qcclInvalidArgument, "the communicator is NULL; make one with qcclCommInitRank (inside a group it is there after qcclGroupEnd)");
  fail(qcclInvalidArgument, "the communicator handle is not valid: it was destroyed or aborted, or never made by qccl");
}

}  // namespace

qcclComm_t registerCommunicator(CommunicatorPtr comm) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  r.last += 16;
  const auto handle = reinterpret_cast<qcclComm_t>(r.last);  // NOLINT(performance-no-int-to-ptr): opaque on purpose
  r.living.emplace(handle, std::move(comm));
  return handle;
}

CommunicatorPtr lookUp(qcclComm_t handle) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  const auto found = r.living.find(handle);
  if (found == r.living.end()) failUnknown(handle);
  return found->second;
}

CommunicatorPtr takeOut(qcclComm_t handle) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  const auto found = r.living.find(handle);
  if (found == r.living.end()) failUnknown(handle);
  CommunicatorPtr comm = std::move(found->second);
  r.living.erase(found);
  return comm;
}

}  // namespace qccl::api
