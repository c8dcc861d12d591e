// What has to hold on GPU memory whichever way calls travel: replays of graphs, and statistics.
#pragma once

#include <cuda_runtime_api.h>

#include <cstring>
#include <vector>

#include "api/cuda/device_cases.hpp"

namespace qccl::test {

// A graph of a call of each of three kinds, with two-shot codes once more at its end if that is asked for, and single calls between its
// replays.
struct Replays {
  std::size_t count;  // elements of each call
  int replays;
  int singleEvery;  // so many replays a single call, after the singleAt-th of them
  int singleAt;
  bool ends;  // with one call more
};

// On two ranks.
inline void expectReplaysHaveTheHostsBits(const RankThreads& ranks, const Replays& graph) {
  std::vector<Operation> kinds = {quantized(qcclAlgoOneshot, qcclCodecInt8, qcclFloat32, graph.count),
                                  quantized(qcclAlgoTwoshot, qcclCodecInt8, qcclFloat32, graph.count),
                                  quantized(qcclAlgoOneshot, qcclCodecNone, qcclFloat32, graph.count)};
  // Every replay works on the average of the one before: data that changes, and an error in any replay stays visible to the end.
  for (Operation& kind : kinds) kind.op = qcclAvg, kind.inPlace = true;
  Buffers start;
  for (int rank = 0; rank < 2; ++rank) {
    Random random(static_cast<unsigned>(rank) + 5);
    const auto values = asType(qcclFloat32, makeValues(Shape::normal, graph.count, random));
    start.emplace_back(values->data(), values->data() + values->bytes());
  }
  std::vector<char> results[2];
  ranks.run([&](int rank, qcclComm_t comm) {
    const device::cuda::DeviceGuard guard(deviceOf(rank));
    const auto r = static_cast<std::size_t>(rank);
    device::cuda::Stream stream;
    DeviceMemory memory(start[r].size(), 0);
    DeviceMemory own(start[r].size(), 0);
    memory.fill(start[r], stream.handle());
    own.fill(start[r], stream.handle());
    QCCL_ASSERT_OK(kinds[0].call(memory.data(), memory.data(), comm, stream.handle()));  // the first call is not captured
    stream.synchronize();
    cudaGraph_t captured;
    cudaGraphExec_t runnable;
    ASSERT_EQ(cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal), cudaSuccess);
    for (const Operation& kind : kinds) {
      QCCL_EXPECT_OK(kind.call(memory.data(), memory.data(), comm, stream.handle()));
      // The ranks' values differ again, in the first half of the message.
      EXPECT_EQ(cudaMemcpyAsync(memory.data(), own.data(), start[r].size() / 2, cudaMemcpyDeviceToDevice, stream.handle()), cudaSuccess);
    }
    if (graph.ends) {
      QCCL_EXPECT_OK(kinds[1].call(memory.data(), memory.data(), comm, stream.handle()));
    }
    ASSERT_EQ(cudaStreamEndCapture(stream.handle(), &captured), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&runnable, captured, 0), cudaSuccess);
    for (int i = 0; i < graph.replays; ++i) {
      ASSERT_EQ(cudaGraphLaunch(runnable, stream.handle()), cudaSuccess);
      if (i % graph.singleEvery == graph.singleAt) {
        QCCL_ASSERT_OK(kinds[2].call(memory.data(), memory.data(), comm, stream.handle()));
      }
    }
    results[r] = memory.read(stream);
    qcclResult_t failed = qcclSuccess;
    QCCL_EXPECT_OK(qcclCommGetAsyncError(comm, &failed));
    EXPECT_EQ(failed, qcclSuccess) << qcclGetLastError(comm);
    cudaGraphExecDestroy(runnable);
    cudaGraphDestroy(captured);
  });
  // The same with single calls on the host.
  Buffers host = start;
  makeRanks(2).run([&](int rank, qcclComm_t comm) {
    const auto r = static_cast<std::size_t>(rank);
    const auto run = [&](const Operation& kind) { QCCL_ASSERT_OK(kind.call(host[r].data(), host[r].data(), comm, nullptr)); };
    run(kinds[0]);
    for (int i = 0; i < graph.replays; ++i) {
      for (const Operation& kind : kinds) {
        run(kind);
        std::memcpy(host[r].data(), start[r].data(), start[r].size() / 2);
      }
      if (graph.ends) run(kinds[1]);
      if (i % graph.singleEvery == graph.singleAt) run(kinds[2]);
    }
  });
  for (int rank = 0; rank < 2; ++rank) expectSameBits(kinds[0], host[static_cast<std::size_t>(rank)], results[rank], rank);
}

inline qcclStats_t statisticsOf(qcclComm_t comm) {
  qcclStats_t stats{};
  stats.size = sizeof(stats);
  QCCL_EXPECT_OK(qcclCommGetStats(comm, &stats));
  return stats;
}

inline void expectTheHostsCounts(const qcclStats_t& onDevice, const qcclStats_t& onHost) {
  EXPECT_EQ(onDevice.elems, onHost.elems);
  EXPECT_EQ(onDevice.wireBytes, onHost.wireBytes);
  EXPECT_EQ(onDevice.encodedBlocks, onHost.encodedBlocks);
  EXPECT_EQ(onDevice.nonFiniteBlocks, onHost.nonFiniteBlocks);
  EXPECT_EQ(onDevice.sampledElems, onHost.sampledElems);
  EXPECT_EQ(onDevice.flushedElems, onHost.flushedElems);
}

// Of a call on two ranks. `ranks` have made none yet.
inline void expectTheHostsStatistics(const RankThreads& ranks) {
  const RankThreads host = makeRanks(2);
  const Operation operation = quantized(qcclAlgoTwoshot, qcclCodecInt8, qcclFloat32, 100000);
  const std::vector<Buffers> inputs = {makeInputs(operation, 2, 3)};
  runAll(host, {operation}, inputs, false);
  runAll(ranks, {operation}, inputs, true);
  for (int rank = 0; rank < 2; ++rank) {
    const qcclStats_t onHost = statisticsOf(host.comm(rank)), onDevice = statisticsOf(ranks.comm(rank));
    expectTheHostsCounts(onDevice, onHost);
    EXPECT_EQ(onDevice.quantizedCalls, 1u);
    EXPECT_GT(onDevice.nonFiniteBlocks, 0u);
  }
}

}  // namespace qccl::test
