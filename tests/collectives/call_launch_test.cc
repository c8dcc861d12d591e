// Which kernel runs a call on GPU memory, and that what it uses of the arena is there. Needs no GPU.
#include "collectives/cuda/call_launch.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "collectives/algorithm_table.hpp"

namespace qccl::collectives::cuda {
namespace {

struct Launched {
  qcclCodec_t codec = qcclCodecInt8;
  qcclAlgo_t algorithm = qcclAlgoOneshot;
  std::size_t count = 1 << 22;
  std::size_t blockElems = 256;
  qcclDataType_t dtype = qcclFloat32;
  int ranks = 2;
  int resident = 1;
  int threadBlocks = 0;
  bool packed = false;
  bool packedResult = false;
  bool inHostMemory = false;

  CallLaunch make() const {
    Call call;
    call.inputPacked = packed;
    call.outputPacked = packedResult;
    call.count = count;
    call.dtype = dtype;
    call.quant.codec = codec;
    call.quant.algorithm = algorithm;
    call.quant.blockElems = blockElems;
    const auto scheduleOf = [this](int rank) { return algorithmRow(algorithm).schedule(rank, {ranks, 0}); };
    const Partition partition =
        Partition::even(count, algorithmRow(algorithm).chunks({ranks, 0}), codec == qcclCodecNone ? 64 : blockElems, packed);
    DeviceCall common{};
    common.ranks = static_cast<std::uint32_t>(ranks);
    std::vector<Schedule> schedules;
    for (int rank = 0; rank < ranks; ++rank) schedules.push_back(scheduleOf(rank));
    const DevicePlan plan = makeDevicePlan(schedules, 0);
    const GpuShare gpu{132, 1, threadBlocks, inHostMemory, [this](const void*, std::uint32_t, std::uint32_t) { return resident; }};
    return makeLaunch({call, scheduleOf, partition, 0, 0}, common, gpu, [&]() -> const DevicePlan& { return plan; });
  }
};

TEST(CallLaunch, OneshotOfByteCodecsHasSlotsForAllWarpsThatRun) {
  for (const int ranks : {2, 3, 4, 8, 16}) {
    for (const int resident : {1, 2, 3, 8, 16}) {
      const CallLaunch launch = Launched{.ranks = ranks, .resident = resident}.make();
      const auto* call = std::get_if<OneshotCall>(&launch.call);
      ASSERT_NE(call, nullptr) << ranks;
      EXPECT_GE(call->warps, 2u);
      EXPECT_EQ(launch.threads, call->warps * 32);
      const std::size_t slots = std::size_t{launch.threadBlocks} * call->warps * kOneshotSlots * static_cast<std::size_t>(ranks - 1);
      EXPECT_LE(slots * kOneshotSlotBytes, kWarpSlotsBytes) << ranks << " ranks, " << resident << " thread blocks a multiprocessor";
    }
  }
}

TEST(CallLaunch, OneshotHasTheSameWarpsWhateverTheSize) {
  const CallLaunch large = Launched{}.make(), small = Launched{.count = 5000}.make(), bounded = Launched{.threadBlocks = 16}.make();
  EXPECT_EQ(std::get<OneshotCall>(large.call).warps, std::get<OneshotCall>(small.call).warps);
  EXPECT_EQ(std::get<OneshotCall>(large.call).warps, std::get<OneshotCall>(bounded.call).warps);
  EXPECT_EQ(large.threadBlocks, 132u);
  EXPECT_EQ(small.threadBlocks, 10u) << "one a tile of 512 values";
  EXPECT_EQ(bounded.threadBlocks, 16u);
}

TEST(CallLaunch, WhatHasNoKernelOfItsOwnRunsAsASchedule) {
  const auto isSchedule = [](const Launched& launched) { return std::holds_alternative<ScheduleCall>(launched.make().call); };
  EXPECT_TRUE(isSchedule({.codec = qcclCodecInt4}));
  EXPECT_TRUE(isSchedule({.blockElems = 2048}));
  EXPECT_TRUE(isSchedule({.algorithm = qcclAlgoTwoshot}));
  EXPECT_TRUE(isSchedule({.count = 0}));
  EXPECT_TRUE(isSchedule({.ranks = 32})) << "no place for so many messages";
  EXPECT_TRUE(isSchedule({.codec = qcclCodecNone})) << "too large for words that carry their flag";
  EXPECT_FALSE(isSchedule({.codec = qcclCodecFp8E4m3, .blockElems = 1024}));
}

TEST(CallLaunch, InHostMemoryOneshotOfByteCodecsRunsAsAScheduleThatDoesNotGoAhead) {
  const CallLaunch launch = Launched{.inHostMemory = true}.make();
  const auto* call = std::get_if<ScheduleCall>(&launch.call);
  ASSERT_NE(call, nullptr);
  EXPECT_EQ(call->lookahead, 0u);
  EXPECT_EQ(std::get<ScheduleCall>(Launched{.codec = qcclCodecInt4}.make().call).lookahead, 1u);
  const CallLaunch small = Launched{.codec = qcclCodecNone, .count = 1000, .inHostMemory = true}.make();
  EXPECT_TRUE(std::holds_alternative<FlaggedCall>(small.call));
}

TEST(CallLaunch, SmallExactCallsCarryTheirFlags) {
  for (const int ranks : {1, 2, 3, 8, 32}) {
    for (const bool inHostMemory : {false, true}) {
      const auto launch = [&](std::size_t count) {
        return Launched{.codec = qcclCodecNone, .count = count, .ranks = ranks, .inHostMemory = inHostMemory}.make();
      };
      const CallLaunch small = launch(1);
      ASSERT_TRUE(std::holds_alternative<FlaggedCall>(small.call)) << ranks;
      EXPECT_EQ(small.threadBlocks, 1u);
      const std::size_t lines = std::get<FlaggedCall>(small.call).linesARank;
      EXPECT_LE(lines * kFlaggedLineBytes * static_cast<std::size_t>(ranks - 1), kFlaggedBufferBytes);
      const std::size_t most = lines * (inHostMemory ? 1 : 2) * 2;
      const CallLaunch fits = launch(most);
      ASSERT_TRUE(std::holds_alternative<FlaggedCall>(fits.call)) << ranks;
      EXPECT_LE(std::size_t{fits.threadBlocks} * kFlaggedDataThreads, lines) << "a thread has a line a round";
      EXPECT_EQ(std::get<FlaggedCall>(fits.call).linesARank, lines) << "or lines would change places from call to call";
      EXPECT_FALSE(std::holds_alternative<FlaggedCall>(launch(most + 1).call)) << ranks;
    }
  }
}

TEST(CallLaunch, PackedBuffersRunAsASchedule) {
  for (const bool packedResult : {false, true}) {
    for (const qcclAlgo_t algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot}) {
      for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
        if (packedResult && dtype != qcclFloat32) continue;
        const Launched launched{.algorithm = algorithm, .count = 100001, .dtype = dtype, .packed = true, .packedResult = packedResult};
        const CallLaunch launch = launched.make();
        const auto* call = std::get_if<ScheduleCall>(&launch.call);
        ASSERT_NE(call, nullptr);
        EXPECT_EQ(launch.function, packedKernel(qcclCodecInt8, false).function);
        EXPECT_EQ(call->outputType, packedResult ? qcclPacked : dtype);
        EXPECT_EQ(call->buffer.elems, 100001u);
        EXPECT_EQ(quant::cuda::bytesOf(call->buffer), quant::packedBytes(100001, {qcclCodecInt8, qcclScaleFloat32, 256}));
      }
    }
  }
}

TEST(CallLaunch, EveryCodecHasAKernelForPackedBuffers) {
  for (int codec = qcclCodecNone; codec < qcclNumCodecs; ++codec) {
    for (const bool stochastic : {false, true}) {
      const CallKernel kernel = packedKernel(static_cast<qcclCodec_t>(codec), stochastic);
      EXPECT_EQ(kernel.function != nullptr, codec != qcclCodecNone) << codec;
    }
  }
}

}  // namespace
}  // namespace qccl::collectives::cuda
