// What the executor is asked to do, and what came of it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "collectives/call.hpp"
#include "collectives/partition.hpp"
#include "collectives/schedule.hpp"

namespace qccl::collectives {

struct ExecutorOptions {
  std::size_t tileBytes = 256 << 10;  // of input, per chunk; on the exact path of few ranks a multiple of it (tile_plan.cc)
  int tilesInFlight = 4;
  std::chrono::milliseconds timeout{120000};  // without any message arriving or leaving
};

class FeedbackMemory;

struct Execution {
  const Call& call;
  const Schedule& schedule;
  const Partition& partition;
  std::size_t inputFirstElem = 0;      // element of the message at which the caller's input buffer begins (all-gather: the own chunk)
  std::size_t outputFirstElem = 0;     // and the output buffer (reduce-scatter: the own chunk)
  std::uint64_t sequence = 0;          // number of the call on its communicator
  bool ofInspection = false;           // not the call itself but what inspects it, under the same number
  FeedbackMemory* feedback = nullptr;  // of calls with error feedback
};

// What one execution did on this rank.
struct ExecutionCounts {
  std::size_t wireBytes = 0;
  std::size_t exactWireBytes = 0;
  std::size_t encodedBlocks = 0;
  std::size_t nonFiniteBlocks = 0;
  std::size_t sampledElems = 0;  // that were looked at for these two:
  std::size_t saturatedElems = 0;
  std::size_t flushedElems = 0;
};

}  // namespace qccl::collectives
