// Groups: what a thread calls between qcclGroupStart and the matching qcclGroupEnd runs at the end, as one. A call outside a group is a
// group of one.
#pragma once

#include <functional>
#include <memory>

#include "collectives/communicator.hpp"

namespace qccl::api {

using CommunicatorPtr = std::shared_ptr<collectives::Communicator>;

bool insideGroup();
void groupStart();
// Throws what went wrong first: a call that was refused inside the group (nothing has run then), or a failure while running.
void groupEnd();

// Remembers that a call inside the group was refused, so that groupEnd reports it.
void latchGroupError(const Error& error);

// Each runs its operation at once, or queues it when inside a group.
void submit(const CommunicatorPtr& comm, const collectives::Call& call);
void submit(const CommunicatorPtr& comm, const collectives::PointToPoint& operation);
// Making and ending communicators: those of one group run side by side, since each may wait for the others.
void submitTask(std::function<void()> task);

}  // namespace qccl::api
