// A schedule as the kernel runs it: which peers a tile waits for, and where in whose arena each message goes.
#pragma once

#include <cstdint>
#include <vector>

#include "collectives/cuda/kernel_call.hpp"
#include "collectives/schedule.hpp"

namespace qccl::collectives::cuda {

struct DevicePlan {
  std::vector<DeviceStep> steps;
  std::uint32_t firstWait = 0;
  std::uint32_t receivedSlots = 1;  // the most of any rank
  std::uint32_t senders = 0;        // bit masks of ranks
  std::uint32_t receivers = 0;
};

// Rank `rank`'s part of a collective whose schedules, by rank, are given. Throws Error(qcclInvalidArgument) if it is more than the kernel
// takes.
DevicePlan makeDevicePlan(const std::vector<Schedule>& schedules, int rank);

}  // namespace qccl::collectives::cuda
