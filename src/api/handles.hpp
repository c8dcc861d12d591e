// qcclComm_t values (handle_registry.hpp).
#pragma once

#include <memory>

#include "collectives/communicator.hpp"

namespace qccl::api {

qcclComm_t registerCommunicator(std::shared_ptr<collectives::Communicator> comm);

// Throws Error(qcclInvalidArgument) if the handle names no living communicator.
std::shared_ptr<collectives::Communicator> lookUp(qcclComm_t handle);

// The same, and the handle is gone afterwards; calls in flight keep the communicator alive until they return.
std::shared_ptr<collectives::Communicator> takeOut(qcclComm_t handle);

}  // namespace qccl::api
