// Collectives on GPU memory give the host's bits: every algorithm, codec, type and number of ranks, any count and alignment, in place or
// not, hostile values; one call after another of different kinds, on streams and in graphs.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <tuple>

#include "api/cuda/device_contracts.hpp"

namespace qccl::test {
namespace {

class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = device::cuda::whyNoDevice(); !why.empty()) GTEST_SKIP() << why;
  }
};

constexpr qcclDataType_t kTypes[] = {qcclFloat32, qcclBfloat16, qcclFloat16};

// Ranks, algorithm, ranks per host.
class OnDeviceAllReduce : public OnDevice, public testing::WithParamInterface<std::tuple<int, int, int>> {
 protected:
  int size() const { return std::get<0>(GetParam()); }
  int algorithm() const { return std::get<1>(GetParam()); }
  int ranksPerHost() const { return std::get<2>(GetParam()); }
};

TEST_P(OnDeviceAllReduce, EveryCodecAndTypeHasTheHostsBits) {
  std::vector<Operation> operations;
  for (int codec = qcclCodecNone; codec < qcclNumCodecs; ++codec) {
    for (const qcclDataType_t dtype : kTypes) {
      operations.push_back(quantized(algorithm(), codec, dtype, 40007));
      operations.back().inPlace = codec % 2 == 1;
      operations.back().op = codec % 3 == 1 ? qcclAvg : qcclSum;
      operations.push_back(quantized(algorithm(), codec, dtype, 4099));
      if (codec != qcclCodecNone) operations.back().quant.rounding = qcclRoundStochastic;
      operations.back().offsetElems = 1;
    }
  }
  expectHostBits(size(), operations, ranksPerHost());
}

TEST_P(OnDeviceAllReduce, AnyCountBlockAndScaleHasTheHostsBits) {
  std::vector<Operation> operations;
  for (const std::size_t count : {1, 2, 5, 63, 64, 65, 255, 256, 257, 4095, 4096, 4097, 8192, 16385, 65536, 300007}) {
    operations.push_back(quantized(algorithm(), qcclCodecInt8, qcclFloat32, count));
    operations.push_back(quantized(algorithm(), qcclCodecNone, qcclFloat32, count));
    operations.push_back(quantized(algorithm(), qcclCodecInt5, qcclBfloat16, count));
  }
  operations.push_back(quantized(algorithm(), qcclCodecInt8, qcclFloat32, 0));
  for (const int block : {32, 64, 128, 512, 1024, 2048, 4096}) {
    for (const int scale : {qcclScaleFloat32, qcclScaleBfloat16, qcclScaleE8m0}) {
      operations.push_back(quantized(algorithm(), qcclCodecInt8, block % 3 == 1 ? qcclFloat16 : qcclFloat32, 50021));
      operations.back().quant.blockElems = block;
      operations.back().quant.scale = scale;
    }
  }
  expectHostBits(size(), operations, ranksPerHost());
}

std::string nameOfCase(const testing::TestParamInfo<std::tuple<int, int, int>>& info) {
  return std::string(qcclEnumName(qcclEnumAlgo, std::get<1>(info.param))) + "_" + std::to_string(std::get<0>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Algorithms, OnDeviceAllReduce,
                         testing::Values(std::tuple{2, qcclAlgoOneshot, 0}, std::tuple{2, qcclAlgoTwoshot, 0},
                                         std::tuple{2, qcclAlgoRing, 0}, std::tuple{2, qcclAlgoTree, 0}, std::tuple{3, qcclAlgoOneshot, 0},
                                         std::tuple{4, qcclAlgoOneshot, 0}, std::tuple{3, qcclAlgoTwoshot, 0},
                                         std::tuple{3, qcclAlgoRing, 0}, std::tuple{4, qcclAlgoTree, 0}, std::tuple{5, qcclAlgoTwoshot, 0},
                                         std::tuple{4, qcclAlgoHier, 2}, std::tuple{8, qcclAlgoTwoshot, 0}, std::tuple{8, qcclAlgoTree, 0}),
                         nameOfCase);

// Slots of a warp are used many times in a call, and calls of other sizes come between.
TEST_F(OnDevice, ManyTilesOfAWarpHaveTheHostsBits) {
  const Setting blocks("QCCL_THREAD_BLOCKS", "1");
  for (const int size : {2, 3, 4}) {
    std::vector<Operation> operations;
    for (const int codec : {qcclCodecInt8, qcclCodecFp8E4m3}) {
      for (const qcclDataType_t dtype : kTypes) {
        operations.push_back(quantized(qcclAlgoOneshot, codec, dtype, 20 * 31 * 1024 + 7));
        operations.push_back(quantized(qcclAlgoOneshot, codec, dtype, 300));
        operations.back().offsetElems = 1;
        operations.push_back(quantized(qcclAlgoTwoshot, codec, dtype, 9000));
        operations.push_back(quantized(qcclAlgoOneshot, codec, dtype, 3 * 31 * 1024 + 700));
        operations.back().quant.rounding = qcclRoundStochastic;
        operations.back().op = qcclAvg;
      }
    }
    expectHostBits(size, operations);
  }
}

// Exact oneshot of few threads: one round, several, and many, in turn.
TEST_F(OnDevice, ManyLinesOfAThreadHaveTheHostsBits) {
  const Setting blocks("QCCL_THREAD_BLOCKS", "1");
  for (const int size : {2, 3, 4}) {
    std::vector<Operation> operations;
    for (const qcclDataType_t dtype : kTypes) {
      for (const std::size_t count : {1023, 3, 1025, 2049, 7, 3074, 4095, 40009, 1, 5000, 20001}) {
        operations.push_back(quantized(qcclAlgoOneshot, qcclCodecNone, dtype, count));
        operations.back().inPlace = count % 2 == 0;
        operations.back().op = count % 3 == 1 ? qcclAvg : qcclSum;
        operations.back().offsetElems = count % 5 == 0 ? 1 : 0;
      }
    }
    expectHostBits(size, operations);
  }
}

TEST_F(OnDevice, TheOtherCollectivesHaveTheHostsBits) {
  for (const int size : {2, 3}) {
    std::vector<Operation> operations;
    for (const qcclColl_t coll : {qcclCollReduceScatter, qcclCollAllGather, qcclCollBroadcast, qcclCollReduce}) {
      for (const qcclDataType_t dtype : kTypes) {
        for (const std::size_t count : {1, 1000, 30011}) {
          Operation operation;
          operation.coll = coll;
          operation.dtype = dtype;
          operation.count = count;
          operation.root = size - 1;
          operations.push_back(operation);
        }
      }
    }
    expectHostBits(size, operations);
  }
}

TEST_F(OnDevice, QuantizedReduceScatterHasTheHostsBits) {
  for (const int algorithm : {qcclAlgoAuto, qcclAlgoRing}) {
    const auto make = [&] {
      return RankThreads("inproc", 3, [&](qcclConfig_t& config) {
        config.timeoutMs = kDeviceTimeoutMs;
        config.quant.codec = qcclCodecInt8;
        config.quant.minBytes = 0;
        config.quant.algorithm = algorithm;
      });
    };
    Operation operation;
    operation.coll = qcclCollReduceScatter;
    operation.count = 20011;
    const std::vector<Buffers> inputs = {makeInputs(operation, 3, 1)};
    const auto host = runAll(make(), {operation}, inputs, false);
    const auto device = runAll(make(), {operation}, inputs, true);
    for (int rank = 0; rank < 3; ++rank) {
      expectSameBits(operation, host[0][static_cast<std::size_t>(rank)], device[0][static_cast<std::size_t>(rank)], rank);
    }
  }
}

// Enqueued without waiting: a rank may be ahead of another by calls.
TEST_F(OnDevice, CallsOfManyKindsBackToBackOnTwoCommunicators) {
  const RankThreads first = makeRanks(2);
  const RankThreads second = makeRanks(2);
  constexpr int kCalls = 200;
  std::vector<Operation> kinds;
  for (const int algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree}) {
    for (const int codec : {qcclCodecNone, qcclCodecInt8, qcclCodecInt4}) {
      for (const std::size_t count : {7, 5000, 70001}) kinds.push_back(quantized(algorithm, codec, qcclFloat32, count));
    }
  }
  // In several rounds of words that carry their flag, and too long for those.
  for (const std::size_t count : {200003, 600011}) kinds.push_back(quantized(qcclAlgoOneshot, qcclCodecNone, qcclFloat32, count));
  std::vector<Buffers> inputs;
  for (std::size_t i = 0; i < kinds.size(); ++i) inputs.push_back(makeInputs(kinds[i], 2, static_cast<unsigned>(i)));
  const auto expected = runAll(makeRanks(2), kinds, inputs, false);
  for (const bool delayed : {false, true}) {
    std::barrier together(2);
    first.run([&](int rank, qcclComm_t comm) {
      const device::cuda::DeviceGuard guard(deviceOf(rank));
      const auto r = static_cast<std::size_t>(rank);
      device::cuda::Stream streams[2];
      const qcclComm_t comms[2] = {comm, second.comm(rank)};
      std::vector<std::unique_ptr<DeviceMemory>> ins, outs;
      for (int i = 0; i < kCalls; ++i) {
        const std::size_t kind = static_cast<std::size_t>(i) * 7 % kinds.size();
        device::cuda::Stream& stream = streams[i % 2];
        ins.push_back(std::make_unique<DeviceMemory>(inputs[kind][r].size(), 0));
        outs.push_back(std::make_unique<DeviceMemory>(inputs[kind][r].size(), 0));
        ins.back()->fill(inputs[kind][r], stream.handle());
        outs.back()->fill({}, stream.handle());
      }
      together.arrive_and_wait();
      for (int i = 0; i < kCalls; ++i) {
        const Operation& kind = kinds[static_cast<std::size_t>(i) * 7 % kinds.size()];
        if (delayed && rank == 1 && i % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
        QCCL_ASSERT_OK(kind.call(ins[static_cast<std::size_t>(i)]->data(), outs[static_cast<std::size_t>(i)]->data(), comms[i % 2],
                                 streams[i % 2].handle()));
      }
      for (int i = 0; i < kCalls; ++i) {
        const std::size_t kind = static_cast<std::size_t>(i) * 7 % kinds.size();
        SCOPED_TRACE(nameOf(kinds[kind]));
        expectSameBits(kinds[kind], expected[kind][r], outs[static_cast<std::size_t>(i)]->read(streams[i % 2]), rank);
      }
      together.arrive_and_wait();
    });
  }
}

TEST_F(OnDevice, GraphsReplayOnChangingData) { expectReplaysHaveTheHostsBits(makeRanks(2), {30001, 2000, 100, 50, true}); }

TEST_F(OnDevice, GraphsOfLongMessagesReplayOnChangingData) {
  expectReplaysHaveTheHostsBits(makeRanks(2), {200003, 200, 9, 4, true});  // exact calls in several rounds
  expectReplaysHaveTheHostsBits(makeRanks(2), {300007, 200, 10, 5, true});
}

TEST_F(OnDevice, GraphsOfManyRoundsReplayOnChangingData) {
  const Setting blocks("QCCL_THREAD_BLOCKS", "3");
  expectReplaysHaveTheHostsBits(makeRanks(2), {30001, 1000, 99, 50, true});
}

TEST_F(OnDevice, StatisticsCountWhatTheKernelsFound) { expectTheHostsStatistics(makeRanks(2)); }

}  // namespace
}  // namespace qccl::test
