// Schedules as the kernel on GPUs runs them: every message lands in the slot that its receiver reads, and no two in one.
#include "collectives/cuda/device_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "collectives/algorithm_table.hpp"
#include "core/error.hpp"
#include "core/types.hpp"

namespace qccl::collectives::cuda {
namespace {

std::vector<Schedule> schedulesOf(qcclAlgo_t algorithm, int size, int ranksPerHost) {
  std::vector<Schedule> schedules;
  for (int rank = 0; rank < size; ++rank) schedules.push_back(algorithmRow(algorithm).schedule(rank, {size, ranksPerHost}));
  return schedules;
}

void expectEveryMessageArrives(const std::vector<Schedule>& schedules) {
  const auto size = static_cast<int>(schedules.size());
  std::vector<DevicePlan> plans;
  for (int rank = 0; rank < size; ++rank) plans.push_back(makeDevicePlan(schedules, rank));
  for (int rank = 0; rank < size; ++rank) {
    const DevicePlan& plan = plans[static_cast<std::size_t>(rank)];
    EXPECT_EQ(plan.receivedSlots, plans[0].receivedSlots) << "ranks lay out their memory differently";
    // Slot -> sender and chunk, as the receiver expects them.
    std::map<int, std::pair<int, int>> expected, sent;
    for (const DeviceStep& step : plan.steps) {
      if (step.kind != StepKind::recv) continue;
      EXPECT_LT(step.slot, plan.receivedSlots);
      EXPECT_TRUE(expected.emplace(step.slot, std::pair(step.peer, step.chunk)).second);
      EXPECT_TRUE(plan.senders >> step.peer & 1);
    }
    for (int from = 0; from < size; ++from) {
      for (const DeviceStep& step : plans[static_cast<std::size_t>(from)].steps) {
        if (step.kind != StepKind::send || step.peer != rank) continue;
        EXPECT_TRUE(sent.emplace(step.remoteSlot, std::pair(from, step.chunk)).second) << "two messages in one slot";
        EXPECT_TRUE(plans[static_cast<std::size_t>(from)].receivers >> rank & 1);
      }
    }
    EXPECT_EQ(sent, expected) << "rank " << rank << " of " << size;
    for (std::uint32_t i = 0; i < plan.firstWait; ++i) {
      const StepKind kind = plan.steps[i].kind;
      EXPECT_TRUE(kind == StepKind::encodeInput || kind == StepKind::send) << "a first step that waits";
    }
  }
}

TEST(DevicePlan, EveryMessageOfEveryAlgorithmArrives) {
  for (int size = 2; size <= 16; ++size) {
    for (const qcclAlgo_t algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree}) {
      SCOPED_TRACE(enumName(qcclEnumAlgo, algorithm));
      expectEveryMessageArrives(schedulesOf(algorithm, size, 0));
    }
    for (int ranksPerHost = 2; ranksPerHost < size; ++ranksPerHost) {
      if (size % ranksPerHost == 0) expectEveryMessageArrives(schedulesOf(qcclAlgoHier, size, ranksPerHost));
    }
  }
}

TEST(DevicePlan, OfTheOtherCollectives) {
  for (int size = 2; size <= 9; ++size) {
    std::vector<Schedule> scatter, ring, gather, broadcast, reduce;
    for (int rank = 0; rank < size; ++rank) {
      scatter.push_back(reduceScatterDirectSchedule(rank, size));
      ring.push_back(reduceScatterRingSchedule(rank, size));
      gather.push_back(allGatherSchedule(rank, size));
      broadcast.push_back(broadcastSchedule(rank, size, size / 2));
      reduce.push_back(reduceSchedule(rank, size, size - 1));
    }
    for (const auto& schedules : {scatter, ring, gather, broadcast, reduce}) expectEveryMessageArrives(schedules);
  }
}

TEST(DevicePlan, WhatTheKernelCannotHoldIsRefused) {
  const auto schedules = schedulesOf(qcclAlgoTwoshot, 60, 0);
  EXPECT_THAT([&] { makeDevicePlan(schedules, 0); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("use another algorithm or fewer ranks")));
}

}  // namespace
}  // namespace qccl::collectives::cuda
