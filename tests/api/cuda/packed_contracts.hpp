// What has to hold of packed buffers on GPU memory whichever way calls travel: all-gather in place, replays of graphs, statistics.
#pragma once

#include <cuda_runtime_api.h>

#include <vector>

#include "api/cuda/device_contracts.hpp"
#include "api/cuda/packed_cases.hpp"

namespace qccl::test {

// On two ranks: each one's part lies in the result already.
inline void expectGatheredInPlace(const RankThreads& ranks) {
  const quant::PackedFormat format{qcclCodecInt5, qcclScaleFloat32, 512};
  const qcclPackedFormat_t wanted = asPublic(format);
  constexpr std::size_t kCount = 30001;
  const std::size_t partBytes = quant::packedBytes(kCount, format);
  const std::vector<char> parts[2] = {hostilePacked(format, kCount, 1), hostilePacked(format, kCount, 2)};
  std::vector<char> expected = parts[0];
  expected.insert(expected.end(), parts[1].begin(), parts[1].end());
  ranks.run([&](int rank, qcclComm_t comm) {
    const device::cuda::DeviceGuard guard(deviceOf(rank));
    device::cuda::Stream stream;
    std::vector<char> start(2 * partBytes, 0x77);
    std::copy(parts[rank].begin(), parts[rank].end(), start.begin() + rank * static_cast<std::ptrdiff_t>(partBytes));
    DeviceMemory memory(start.size(), 0);
    memory.fill(start, stream.handle());
    stream.synchronize();
    const unsigned char* own = memory.data() + static_cast<std::size_t>(rank) * partBytes;
    QCCL_ASSERT_OK(qcclAllGatherQuantized(own, memory.data(), kCount, qcclPacked, &wanted, comm, stream.handle()));
    EXPECT_EQ(memory.read(stream), expected) << "rank " << rank;
  });
}

// On two ranks: a step of training, as a graph. Gradients are added to a packed buffer, which is averaged, by two-shot in place and by
// oneshot into values.
inline void expectPackedReplaysHaveTheHostsBits(const RankThreads& ranks) {
  const quant::PackedFormat format{qcclCodecInt8, qcclScaleFloat32, 1024};
  const qcclPackedFormat_t wanted = asPublic(format);
  constexpr std::size_t kCount = 50021;
  constexpr int kReplays = 30;
  Buffers gradients;
  for (int rank = 0; rank < 2; ++rank) {
    Random random(static_cast<unsigned>(rank) + 5);
    const auto values = asType(qcclBfloat16, makeValues(Shape::normal, kCount, random));
    gradients.emplace_back(values->data(), values->data() + values->bytes());
  }
  const auto step = [&](void* packed, const void* gradient, void* values, qcclComm_t comm, void* stream) {
    qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
    QCCL_EXPECT_OK(qcclAccumulate(packed, gradient, kCount, qcclBfloat16, &wanted, nullptr, stream));
    quant.algorithm = qcclAlgoTwoshot;
    QCCL_EXPECT_OK(qcclAllReduceQuantized(packed, packed, kCount, qcclPacked, qcclAvg, &wanted, &quant, comm, stream));
    QCCL_EXPECT_OK(qcclAccumulate(packed, gradient, kCount, qcclBfloat16, &wanted, nullptr, stream));
    quant.algorithm = qcclAlgoOneshot;
    QCCL_EXPECT_OK(qcclAllReduceQuantized(packed, values, kCount, qcclFloat16, qcclAvg, &wanted, &quant, comm, stream));
  };
  const std::size_t packedBytes = quant::packedBytes(kCount, format);
  std::vector<char> packed[2], values[2];
  makeRanks(2).run([&](int rank, qcclComm_t comm) {
    packed[rank].assign(packedBytes, 0);
    values[rank].resize(kCount * 2);
    for (int i = 0; i <= kReplays; ++i)
      step(packed[rank].data(), gradients[static_cast<std::size_t>(rank)].data(), values[rank].data(), comm, nullptr);
  });
  ranks.run([&](int rank, qcclComm_t comm) {
    const device::cuda::DeviceGuard guard(deviceOf(rank));
    const auto r = static_cast<std::size_t>(rank);
    device::cuda::Stream stream;
    DeviceMemory packedThere(packedBytes, 0), valuesThere(kCount * 2, 0), gradient(gradients[r].size(), 0);
    packedThere.fill(std::vector<char>(packedBytes, 0), stream.handle());
    valuesThere.fill({}, stream.handle());
    gradient.fill(gradients[r], stream.handle());
    step(packedThere.data(), gradient.data(), valuesThere.data(), comm, stream.handle());  // the first calls are not captured
    stream.synchronize();
    cudaGraph_t captured;
    cudaGraphExec_t runnable;
    ASSERT_EQ(cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal), cudaSuccess);
    step(packedThere.data(), gradient.data(), valuesThere.data(), comm, stream.handle());
    ASSERT_EQ(cudaStreamEndCapture(stream.handle(), &captured), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&runnable, captured, 0), cudaSuccess);
    for (int i = 0; i < kReplays; ++i) ASSERT_EQ(cudaGraphLaunch(runnable, stream.handle()), cudaSuccess);
    expectSamePacked(format, packed[rank], packedThere.read(stream), rank);
    expectSameValues(qcclFloat16, values[rank], valuesThere.read(stream), rank);
    qcclResult_t failed = qcclSuccess;
    QCCL_EXPECT_OK(qcclCommGetAsyncError(comm, &failed));
    EXPECT_EQ(failed, qcclSuccess) << qcclGetLastError(comm);
    cudaGraphExecDestroy(runnable);
    cudaGraphDestroy(captured);
  });
}

// Of calls on two ranks. `ranks` have made none yet.
inline void expectTheHostsPackedStatistics(const RankThreads& ranks) {
  const RankThreads host = makeRanks(2);
  std::vector<Operation> operations;
  std::vector<Buffers> inputs;
  for (const int algorithm : {qcclAlgoOneshot, qcclAlgoTwoshot}) {
    operations.push_back(packedOperation(qcclCollAllReduce, algorithm, {qcclCodecInt8, qcclScaleFloat32, 256}, qcclPacked, 100000));
    inputs.push_back(makeInputs(operations.back(), 2, 3));
  }
  runAll(host, operations, inputs, false);
  runAll(ranks, operations, inputs, true);
  for (int rank = 0; rank < 2; ++rank) {
    const qcclStats_t onHost = statisticsOf(host.comm(rank)), onDevice = statisticsOf(ranks.comm(rank));
    expectTheHostsCounts(onDevice, onHost);
    EXPECT_EQ(onDevice.exactWireBytes, onHost.exactWireBytes);
    EXPECT_EQ(onDevice.quantizedCalls, 2u);
    EXPECT_GT(onDevice.encodedBlocks, 0u);
  }
}

}  // namespace qccl::test
