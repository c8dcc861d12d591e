// Calls over NCCL that cannot end, end: with a sentence, on every rank. And what cannot begin says why.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>

#include <barrier>
#include <chrono>
#include <thread>

#include "api/cuda/failing_rank.hpp"
#include "api/cuda/nccl_ranks.hpp"

namespace qccl::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Long enough for NCCL to begin within it.
constexpr int kShortTimeoutMs = 8000;

std::string failureOf(qcclComm_t comm, qcclResult_t expected) { return test::failureOf(comm, expected, std::chrono::seconds(30)); }

// Connects the ranks for what follows: only from the second call on are small ones handed to NCCL's own all-reduce, and the first of those
// connects too, on the thread that makes it.
void connect(FailingRank& own, qcclComm_t comm) {
  for (int i = 0; i < 2; ++i) QCCL_EXPECT_OK(own.allReduce(1000, comm));
  own.stream.synchronize();
}

// Rank 1 does not make a call of rank 0's, which has so much enqueued behind it.
void expectEndOnAll(int fillsBehind) {
  const RankThreads ranks = makeNcclRanks(kShortTimeoutMs);
  ranks.run([&](int rank, qcclComm_t comm) {
    FailingRank own(deviceOf(rank));
    connect(own, comm);
    if (rank == 0) {
      QCCL_ASSERT_OK(own.allReduce(5000, comm));
      for (int i = 0; i < fillsBehind; ++i) device::cuda::fillAsync(own.out.data(), 1, own.out.bytes(), own.stream.handle());
    }
    own.stream.synchronize();  // ends
    EXPECT_THAT(failureOf(comm, qcclTimeout),
                AllOf(HasSubstr("rank 0 waited 8000 ms in allreduce(count=5000"), HasSubstr("call #3"), HasSubstr("QCCL_TIMEOUT_MS")));
  });
}

TEST_F(OverNccl, ACallThatARankDoesNotMakeEndsOnAll) { expectEndOnAll(0); }

// Whoever enqueues waits inside CUDA while the queue is full, and so may all others that ask CUDA for something.
TEST_F(OverNccl, ACallThatARankDoesNotMakeEndsAlsoBeforeAFullQueue) { expectEndOnAll(20000); }

// What asks for events must not spoil a capture that forbids this to all threads.
TEST_F(OverNccl, ACaptureBesideCallsOnTheirWayIsLeftAlone) {
  const RankThreads ranks = makeNcclRanks();
  std::barrier<> together(2);
  ranks.run([&](int rank, qcclComm_t comm) {
    FailingRank own(deviceOf(rank));
    connect(own, comm);
    device::cuda::Stream beside;
    for (int i = 0; i < 1000; ++i) QCCL_EXPECT_OK(own.allReduce(100000, comm));
    together.arrive_and_wait();
    if (rank == 0) {
      cudaGraph_t graph = nullptr;
      EXPECT_EQ(cudaStreamBeginCapture(beside.handle(), cudaStreamCaptureModeGlobal), cudaSuccess);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      EXPECT_EQ(cudaStreamEndCapture(beside.handle(), &graph), cudaSuccess);
      if (graph != nullptr) cudaGraphDestroy(graph);
    }
    together.arrive_and_wait();
    own.stream.synchronize();
    qcclResult_t failed = qcclSuccess;
    QCCL_EXPECT_OK(qcclCommGetAsyncError(comm, &failed));
    EXPECT_EQ(failed, qcclSuccess) << qcclGetLastError(comm);
  });
}

// The first call of its kind connects the ranks, on the thread that makes it.
TEST_F(OverNccl, AThreadThatConnectsToNobodyReturns) {
  const RankThreads ranks = makeNcclRanks(kShortTimeoutMs);
  ranks.run([&](int rank, qcclComm_t comm) {
    FailingRank own(deviceOf(rank));
    QCCL_ASSERT_OK(own.allReduce(1000, comm));
    own.stream.synchronize();
    if (rank == 0) (void)own.allReduce(5000, comm, qcclInt64);  // may return before, may not
    own.stream.synchronize();
    EXPECT_THAT(failureOf(comm, qcclTimeout), HasSubstr("rank 0 waited 8000 ms in allreduce(count=5000, int64"));
  });
}

TEST_F(OverNccl, AGraphThatOneRankDoesNotReplayEnds) {
  const RankThreads ranks = makeNcclRanks(kShortTimeoutMs);
  ranks.run([&](int rank, qcclComm_t comm) {
    FailingRank own(deviceOf(rank));
    connect(own, comm);
    cudaGraph_t graph;
    cudaGraphExec_t runnable;
    ASSERT_EQ(cudaStreamBeginCapture(own.stream.handle(), cudaStreamCaptureModeThreadLocal), cudaSuccess);
    QCCL_EXPECT_OK(own.allReduce(5000, comm));
    device::cuda::fillAsync(own.out.data(), 1, own.out.bytes(), own.stream.handle());  // waits for the call
    ASSERT_EQ(cudaStreamEndCapture(own.stream.handle(), &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&runnable, graph, 0), cudaSuccess);
    for (int i = 0; i < (rank == 0 ? 4 : 3); ++i) ASSERT_EQ(cudaGraphLaunch(runnable, own.stream.handle()), cudaSuccess);
    own.stream.synchronize();  // ends
    EXPECT_THAT(failureOf(comm, qcclTimeout), HasSubstr("rank 0 waited 8000 ms in allreduce(count=5000"));
    cudaGraphExecDestroy(runnable);
    cudaGraphDestroy(graph);
  });
}

TEST_F(OverNccl, AbortEndsTheKernelsOfAllRanks) {
  RankThreads ranks = makeNcclRanks();
  ranks.run([&](int rank, qcclComm_t comm) {
    FailingRank own(deviceOf(rank));
    connect(own, comm);
    if (rank == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      QCCL_EXPECT_OK(qcclCommAbort(comm));
      return;
    }
    const auto start = std::chrono::steady_clock::now();
    QCCL_ASSERT_OK(own.allReduce(5000, comm));
    own.stream.synchronize();
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
    EXPECT_THAT(failureOf(comm, qcclRemoteError), HasSubstr("rank 1 aborted"));
  });
  ranks.forget(1);
}

TEST_F(OverNccl, RanksThatShareAGpuAreRefused) {
  const RankThreads ranks = makeNcclRanks();
  ranks.run([&](int, qcclComm_t comm) {
    FailingRank own(0);
    EXPECT_EQ(own.allReduce(1000, comm), qcclInvalidUsage);
    EXPECT_THAT(qcclGetLastError(nullptr), AllOf(HasSubstr("ranks 0 and 1 share the GPU"), HasSubstr("NCCL")));
  });
}

TEST_F(OverNccl, WithoutTheLibraryTheFirstCallSaysWhatIsMissing) {
  const char* before = std::getenv("QCCL_NCCL_LIBRARY");
  const std::string kept = before != nullptr ? before : "";
  setenv("QCCL_NCCL_LIBRARY", "libno-nccl-here.so", 1);
  {
    const RankThreads ranks = makeNcclRanks();
    ranks.run([&](int rank, qcclComm_t comm) {
      FailingRank own(deviceOf(rank));
      EXPECT_EQ(own.allReduce(1000, comm), qcclSystemError);
      EXPECT_THAT(qcclGetLastError(nullptr), AllOf(HasSubstr("libno-nccl-here.so"), HasSubstr("QCCL_NCCL_LIBRARY")));
    });
  }
  before != nullptr ? setenv("QCCL_NCCL_LIBRARY", kept.c_str(), 1) : unsetenv("QCCL_NCCL_LIBRARY");
}

}  // namespace
}  // namespace qccl::test
