// Calls over memory that all ranks have mapped: one kernel a call (schedule_kernel.cuh).
#pragma once

#include <memory>
#include <vector>

#include "collectives/device_calls.hpp"
#include "transport/cuda_ipc/peer_memory.hpp"

namespace qccl::collectives::cuda {

// Collective over the ranks of `control`. Throws the same Error on every rank if there can be no such memory: qcclInvalidUsage, with the
// reason.
std::unique_ptr<DeviceCalls> makePeerCalls(transport::PeerMemory::Kind kind, transport::Control& control, const std::vector<int>& hosts,
                                           int device, const DeviceCallOptions& options);

}  // namespace qccl::collectives::cuda
