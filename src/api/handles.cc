#include "api/handles.hpp"

#include "api/handle_registry.hpp"

namespace qccl::api {
namespace {

using collectives::Communicator;

auto& registry() {
  static auto* const instance = new HandleRegistry<qcclComm_t, Communicator>(
      "the communicator is NULL; make one with qcclCommInitRank (inside a group it is there after qcclGroupEnd)",
      "the communicator handle is not valid: it was destroyed or aborted, or never made by qccl");
  return *instance;
}

}  // namespace

qcclComm_t registerCommunicator(std::shared_ptr<Communicator> comm) { return registry().add(std::move(comm)); }

std::shared_ptr<Communicator> lookUp(qcclComm_t handle) { return registry().lookUp(handle); }

std::shared_ptr<Communicator> takeOut(qcclComm_t handle) { return registry().takeOut(handle); }

}  // namespace qccl::api
