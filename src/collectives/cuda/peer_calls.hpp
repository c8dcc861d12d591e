// Calls over memory that all ranks have mapped: one kernel a call (schedule_kernel.cuh).
#pragma once

#include <memory>
#include <vector>

#include "collectives/device_calls.hpp"

namespace qccl::collectives::cuda {

// Collective over the ranks of `control`. Throws the same Error on every rank if the ranks' GPUs cannot write into one another's memory:
// qcclInvalidUsage, with the reason.
std::unique_ptr<DeviceCalls> makePeerCalls(transport::Control& control, const std::vector<int>& hosts, int device,
                                           const DeviceCallOptions& options);

}  // namespace qccl::collectives::cuda
