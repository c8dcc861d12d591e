#include "collectives/cuda/device_plan.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace qccl::collectives::cuda {
namespace {

constexpr std::uint16_t kNotReceived = 0xffff;

// By slot: its number among the received ones, in the order of the receives.
std::vector<std::uint16_t> receivedNumbers(const Schedule& schedule) {
  std::vector<std::uint16_t> numbers(static_cast<std::size_t>(schedule.slots), kNotReceived);
  std::uint16_t next = 0;
  for (const Step& step : schedule.steps) {
    if (step.kind == StepKind::recv) numbers[static_cast<std::size_t>(step.slot)] = next++;
  }
  return numbers;
}

std::uint32_t receivedSlots(const Schedule& schedule) {
  return static_cast<std::uint32_t>(
      std::count_if(schedule.steps.begin(), schedule.steps.end(), [](const Step& step) { return step.kind == StepKind::recv; }));
}

// The number of the slot in which the peer receives what `send` of rank `rank` sends.
std::uint16_t remoteSlot(const Schedule& peers, const Step& send, int rank) {
  std::uint16_t number = 0;
  for (const Step& step : peers.steps) {
    if (step.kind != StepKind::recv) continue;
    if (step.peer == rank && step.chunk == send.chunk && step.phase == send.phase) return number;
    ++number;
  }
  fail(qcclInternalError, "defect in qccl: rank ", send.peer, " has no receive for a message of rank ", rank);
}

bool isFirst(const Step& step) { return step.kind == StepKind::encodeInput || step.kind == StepKind::send; }

// The kernel keeps one message that it made itself: each must be done with before the next is made, but for the last of the first steps,
// which the others may read until they make one.
void checkOwnMessages(const Schedule& schedule, const std::vector<std::uint16_t>& received) {
  int made = -1;
  for (const Step& step : schedule.steps) {
    if (step.kind == StepKind::encodeInput || step.kind == StepKind::encodeSum) {
      made = step.slot;
    } else if (step.slot >= 0 && received[static_cast<std::size_t>(step.slot)] == kNotReceived) {
      QCCL_CHECK(step.slot == made);
    }
  }
}

}  // namespace

DevicePlan makeDevicePlan(const std::vector<Schedule>& schedules, int rank) {
  const Schedule& own = schedules[static_cast<std::size_t>(rank)];
  const std::vector<std::uint16_t> received = receivedNumbers(own);
  checkOwnMessages(own, received);
  DevicePlan plan;
  for (const Schedule& schedule : schedules) plan.receivedSlots = std::max(plan.receivedSlots, receivedSlots(schedule));
  if (own.steps.size() > kMaxSteps || plan.receivedSlots > kMaxReceived) {
    fail(qcclInvalidArgument, "this algorithm takes ", own.steps.size(), " steps and ", plan.receivedSlots, " messages among ",
         schedules.size(), " ranks, more than the ", kMaxSteps, " steps and ", kMaxReceived,
         " messages of a kernel; use another algorithm or fewer ranks");
  }
  for (const Step& step : own.steps) {
    DeviceStep out{};
    out.kind = step.kind;
    out.chunk = static_cast<std::uint16_t>(std::max(step.chunk, 0));
    if (step.slot >= 0 && received[static_cast<std::size_t>(step.slot)] != kNotReceived) {
      out.received = true;
      out.slot = received[static_cast<std::size_t>(step.slot)];
    }
    if (step.peer >= 0) out.peer = static_cast<std::uint8_t>(step.peer);
    if (step.kind == StepKind::recv) plan.senders |= 1u << step.peer;
    if (step.kind == StepKind::send) {
      plan.receivers |= 1u << step.peer;
      out.remoteSlot = remoteSlot(schedules[static_cast<std::size_t>(step.peer)], step, rank);
    }
    plan.steps.push_back(out);
  }
  plan.firstWait = static_cast<std::uint32_t>(std::find_if_not(own.steps.begin(), own.steps.end(), isFirst) - own.steps.begin());
  return plan;
}

}  // namespace qccl::collectives::cuda
