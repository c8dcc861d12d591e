// Runs a schedule: written once for every collective, algorithm, codec and transport.
//
// The message is processed in **tiles** of every chunk. Several tiles are in flight, each with its own place in the schedule; whichever can
// go on does, so that coding one tile overlaps the transfer of others. Results do not depend on tile size or timing: a tile's additions
// happen in schedule order, and blocks never straddle tiles.
//
// On the exact path nothing is staged that need not be: inputs are sent from, and results received into, the caller's buffers.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

#include "collectives/call.hpp"
#include "collectives/partition.hpp"
#include "collectives/schedule.hpp"
#include "collectives/staging.hpp"
#include "transport/control.hpp"
#include "transport/transport.hpp"

namespace qccl::collectives {

struct ExecutorOptions {
  std::size_t tileBytes = 256 << 10;  // of input, per chunk
  int tilesInFlight = 4;
  std::chrono::milliseconds timeout{120000};  // without any message arriving or leaving
};

// What one execution did on this rank.
struct ExecutionCounts {
  std::size_t wireBytes = 0;
  std::size_t exactWireBytes = 0;
  std::size_t encodedBlocks = 0;
  std::size_t nonFiniteBlocks = 0;
};

struct Execution {
  const Call& call;
  const Schedule& schedule;
  const Partition& partition;
  std::size_t inputFirstElem = 0;   // element of the message at which the caller's input buffer begins (all-gather: the own chunk)
  std::size_t outputFirstElem = 0;  // and the output buffer (reduce-scatter: the own chunk)
  std::uint64_t sequence = 0;       // number of the call on its communicator
};

// Blocks until this rank's part is done. Throws Error: qcclTimeout naming the ranks that were waited for, qcclInvalidUsage for a mismatched
// call, or the communicator's failure; the caller's buffers are not touched any more then, and the transport is unusable.
ExecutionCounts execute(const Execution& execution, const ExecutorOptions& options, transport::Transport& transport,
                        transport::Control& control, StagingMemory& staging);

// Bytes that this rank will send for data, by arithmetic alone.
std::size_t scheduledWireBytes(const Schedule& schedule, const Partition& partition, const Call& call);

}  // namespace qccl::collectives
