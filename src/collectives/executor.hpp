// Runs a schedule: written once for every collective, algorithm, codec and transport.
//
// The message is processed in **tiles** of every chunk. Several tiles are in flight, each with its own place in the schedule; whichever can
// go on does, so that coding one tile overlaps the transfer of others. Results do not depend on tile size or timing: a tile's additions
// happen in schedule order, and blocks never straddle tiles.
//
// tile_plan.hpp says where everything lies, tile_run.hpp takes one tile through the schedule, and the executor is the loop around them.
#pragma once

#include <cstddef>

#include "collectives/execution.hpp"
#include "collectives/staging.hpp"
#include "transport/control.hpp"
#include "transport/transport.hpp"

namespace qccl::collectives {

// Blocks until this rank's part is done. Throws Error: qcclTimeout naming the ranks that were waited for, qcclInvalidUsage for a mismatched
// call, or the communicator's failure; the caller's buffers are not touched any more then, and the transport is unusable.
ExecutionCounts execute(const Execution& execution, const ExecutorOptions& options, transport::Transport& transport,
                        transport::Control& control, StagingMemory& staging);

// Bytes that this rank will send for data, by arithmetic alone.
std::size_t scheduledWireBytes(const Schedule& schedule, const Partition& partition, const Call& call);

}  // namespace qccl::collectives
