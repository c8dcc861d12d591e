// Calls over the real NCCL: its own collectives, and qccl's algorithms with NCCL as the carrier (nccl_carrier.hpp).
#pragma once

#include <memory>
#include <vector>

#include "collectives/device_calls.hpp"

namespace qccl::collectives::cuda {

// Whether only NCCL's own collective does the call: it was asked for (algorithm nccl), or it is of a type or an operation that qccl's
// kernels do not have.
bool isOnlyNccls(const Call& call);

// Collective over the ranks of `control`. Throws the same Error on every rank if NCCL cannot be used.
std::unique_ptr<DeviceCalls> makeNcclCalls(transport::Control& control, const std::vector<int>& hosts, int device,
                                           const DeviceCallOptions& options);

}  // namespace qccl::collectives::cuda
