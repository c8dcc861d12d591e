// One rank's run: every size, out of place and in place, verified and timed.
#pragma once

#include <cstdint>
#include <functional>

#include "perf/measurement.hpp"
#include "perf/memory.hpp"
#include "perf/options.hpp"
#include "perf/peer.hpp"
#include "perf/rank.hpp"

namespace qccl::bench {

// Called on rank 0 for every size with its one or two measurements (out of place, in place).
using Reporter = std::function<void(const Measurement& outOfPlace, const Measurement* inPlace)>;

// Collective. `peer`: what to compare with, or nullptr. Returns the number of measurements that failed a check, the same on every rank.
// Throws ToolError.
std::uint64_t runBenchmark(const Options& options, Rank& rank, Peer* peer, Memory& memory, const Reporter& report);

// Memory that one rank needs for its operands; with --memory cuda on its GPU, and at most as much on the host for making and checking them.
std::size_t operandBytes(const Options& options, int ranks);

// Throws ToolError if `localRanks` ranks of this machine cannot have their operands.
void requireMemory(const Options& options, int ranks, int localRanks);

}  // namespace qccl::bench
