// qcclComm_t values. A handle is a number that is never used twice, not a pointer to be followed: a stale or wild handle is an error with a
// sentence and never a crash.
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
