// qccl's algorithms over NCCL give the host's bits, whatever the tiles; what only NCCL does, it does, on its own beside them.
#include <cuda_runtime_api.h>

#include <tuple>

#include "api/cuda/device_contracts.hpp"
#include "api/cuda/nccl_ranks.hpp"

namespace qccl::test {
namespace {

constexpr qcclDataType_t kTypes[] = {qcclFloat32, qcclBfloat16, qcclFloat16};

void expectHostBitsOverNccl(const std::vector<Operation>& operations, int ranksPerHost = 0) {
  expectHostBits(2, operations, ranksPerHost, kNcclTimeoutMs);
}

// Algorithm, ranks per host, what tiles are cut by.
class OverNcclAllReduce : public OverNccl, public testing::WithParamInterface<std::tuple<int, int, const char*>> {
 protected:
  int algorithm() const { return std::get<0>(GetParam()); }
  int ranksPerHost() const { return std::get<1>(GetParam()); }

 private:
  const Setting tileBytes_{"QCCL_NCCL_TILE_BYTES", std::get<2>(GetParam())};
};

TEST_P(OverNcclAllReduce, EveryCodecAndTypeHasTheHostsBits) {
  std::vector<Operation> operations;
  for (int codec = qcclCodecNone; codec < qcclNumCodecs; ++codec) {
    for (const qcclDataType_t dtype : kTypes) {
      operations.push_back(quantized(algorithm(), codec, dtype, 140007));
      operations.back().inPlace = codec % 2 == 1;
      operations.back().op = codec % 3 == 1 ? qcclAvg : qcclSum;
      operations.push_back(quantized(algorithm(), codec, dtype, 40099));
      operations.back().inPlace = codec % 2 == 0;
      if (codec != qcclCodecNone) operations.back().quant.rounding = qcclRoundStochastic;
      operations.back().offsetElems = 1;
    }
  }
  expectHostBitsOverNccl(operations, ranksPerHost());
}

TEST_P(OverNcclAllReduce, AnyCountBlockAndScaleHasTheHostsBits) {
  std::vector<Operation> operations;
  for (const std::size_t count : {1, 2, 5, 63, 64, 65, 255, 256, 257, 4095, 4096, 4097, 8192, 16385, 65536, 300007}) {
    operations.push_back(quantized(algorithm(), qcclCodecInt8, qcclFloat32, count));
    operations.push_back(quantized(algorithm(), qcclCodecNone, qcclFloat32, count));
    operations.push_back(quantized(algorithm(), qcclCodecInt5, qcclBfloat16, count));
  }
  operations.push_back(quantized(algorithm(), qcclCodecInt8, qcclFloat32, 0));
  for (const int block : {32, 64, 128, 512, 1024, 2048, 4096}) {
    for (const int scale : {qcclScaleFloat32, qcclScaleBfloat16, qcclScaleE8m0}) {
      operations.push_back(quantized(algorithm(), qcclCodecInt8, block % 3 == 1 ? qcclFloat16 : qcclFloat32, 150021));
      operations.back().quant.blockElems = block;
      operations.back().quant.scale = scale;
    }
  }
  expectHostBitsOverNccl(operations, ranksPerHost());
}

std::string nameOfCase(const testing::TestParamInfo<std::tuple<int, int, const char*>>& info) {
  return std::string(qcclEnumName(qcclEnumAlgo, std::get<0>(info.param))) + std::to_string(std::get<1>(info.param)) + "_by_" +
         std::get<2>(info.param);
}

INSTANTIATE_TEST_SUITE_P(Algorithms, OverNcclAllReduce,
                         testing::Combine(testing::Values(qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree), testing::Values(0),
                                          testing::Values("8M", "4K")),
                         nameOfCase);
INSTANTIATE_TEST_SUITE_P(Hosts, OverNcclAllReduce,
                         testing::Combine(testing::Values(qcclAlgoHier), testing::Values(1, 2), testing::Values("8M", "4K")), nameOfCase);

TEST_F(OverNccl, LargeMessagesInTilesOfTheirOwnSizeHaveTheHostsBits) {
  std::vector<Operation> operations;
  for (const int algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot}) {
    operations.push_back(quantized(algorithm, qcclCodecInt8, qcclFloat32, 20000003));
    operations.push_back(quantized(algorithm, qcclCodecInt4, qcclBfloat16, 20000003));
    operations.back().inPlace = true;
  }
  expectHostBitsOverNccl(operations);
}

TEST_F(OverNccl, TheOtherCollectivesHaveTheHostsBits) {
  const Setting tileBytes("QCCL_NCCL_TILE_BYTES", "16K");
  std::vector<Operation> operations;
  for (const qcclColl_t coll : {qcclCollReduceScatter, qcclCollAllGather, qcclCollBroadcast, qcclCollReduce}) {
    for (const qcclDataType_t dtype : kTypes) {
      for (const std::size_t count : {1, 1000, 130011}) {
        Operation operation;
        operation.coll = coll;
        operation.dtype = dtype;
        operation.count = count;
        operation.root = 1;
        if (coll != qcclCollAllGather && coll != qcclCollBroadcast && count == 1000) operation.op = qcclAvg;
        operations.push_back(operation);
      }
    }
  }
  expectHostBitsOverNccl(operations);
}

TEST_F(OverNccl, QuantizedReduceScatterHasTheHostsBits) {
  for (const int algorithm : {qcclAlgoAuto, qcclAlgoRing}) {
    for (const char* tileBytes : {"8M", "4K"}) {
      const Setting setting("QCCL_NCCL_TILE_BYTES", tileBytes);
      const auto make = [&] {
        return RankThreads("inproc", 2, [&](qcclConfig_t& config) {
          config.timeoutMs = kNcclTimeoutMs;
          config.quant.codec = qcclCodecInt8;
          config.quant.minBytes = 0;
          config.quant.algorithm = algorithm;
        });
      };
      Operation operation;
      operation.coll = qcclCollReduceScatter;
      operation.count = 120011;
      const std::vector<Buffers> inputs = {makeInputs(operation, 2, 1)};
      const auto host = runAll(make(), {operation}, inputs, false);
      const auto device = runAll(make(), {operation}, inputs, true);
      for (std::size_t rank = 0; rank < 2; ++rank) expectSameBits(operation, host[0][rank], device[0][rank], static_cast<int>(rank));
    }
  }
}

// Enqueued without waiting, on two streams in turn: each call waits for the one before.
TEST_F(OverNccl, CallsOfManyKindsBackToBack) {
  const Setting tileBytes("QCCL_NCCL_TILE_BYTES", "16K");
  std::vector<Operation> kinds;
  for (const int algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoTree}) {
    for (const int codec : {qcclCodecNone, qcclCodecInt8, qcclCodecInt4}) {
      for (const std::size_t count : {7, 5000, 170001}) kinds.push_back(quantized(algorithm, codec, qcclFloat32, count));
    }
  }
  std::vector<Buffers> inputs;
  for (std::size_t i = 0; i < kinds.size(); ++i) inputs.push_back(makeInputs(kinds[i], 2, static_cast<unsigned>(i)));
  const auto expected = runAll(makeRanks(2), kinds, inputs, false);
  constexpr std::size_t kCalls = 200;
  const RankThreads ranks = makeNcclRanks();
  std::barrier together(2);
  ranks.run([&](int rank, qcclComm_t comm) {
    const device::cuda::DeviceGuard guard(deviceOf(rank));
    const auto r = static_cast<std::size_t>(rank);
    device::cuda::Stream streams[2];
    std::vector<std::unique_ptr<DeviceMemory>> ins, outs;
    for (std::size_t i = 0; i < kCalls; ++i) {
      const std::size_t kind = i * 7 % kinds.size();
      ins.push_back(std::make_unique<DeviceMemory>(inputs[kind][r].size(), 0));
      outs.push_back(std::make_unique<DeviceMemory>(inputs[kind][r].size(), 0));
      ins.back()->fill(inputs[kind][r], streams[i % 2].handle());
      outs.back()->fill({}, streams[i % 2].handle());
    }
    together.arrive_and_wait();
    for (std::size_t i = 0; i < kCalls; ++i) {
      const Operation& kind = kinds[i * 7 % kinds.size()];
      QCCL_ASSERT_OK(kind.call(ins[i]->data(), outs[i]->data(), comm, streams[i % 2].handle()));
    }
    for (std::size_t i = 0; i < kCalls; ++i) {
      const std::size_t kind = i * 7 % kinds.size();
      SCOPED_TRACE(nameOf(kinds[kind]));
      expectSameBits(kinds[kind], expected[kind][r], outs[i]->read(streams[i % 2]), rank);
    }
    together.arrive_and_wait();
  });
}

TEST_F(OverNccl, GraphsReplayOnChangingData) {
  const Setting tileBytes("QCCL_NCCL_TILE_BYTES", "16K");
  expectReplaysHaveTheHostsBits(makeNcclRanks(), {130001, 200, 50, 20, false});
}

TEST_F(OverNccl, StatisticsCountWhatTheKernelsFound) { expectTheHostsStatistics(makeNcclRanks()); }

}  // namespace
}  // namespace qccl::test
