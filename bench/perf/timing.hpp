// The timing loop.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>

#include "perf/collective.hpp"
#include "perf/measurement.hpp"
#include "perf/memory.hpp"
#include "perf/options.hpp"
#include "perf/peer.hpp"
#include "perf/rank.hpp"

namespace qccl::bench {

// The operands of one rank, in its Memory: `send` is read; for an in-place call `work` holds a copy of the input at its place and becomes
// the result.
struct Operands {
  const char* send = nullptr;
  char* recv = nullptr;
  bool inPlace = false;
  char* refillTo = nullptr;  // in place: where `send` is copied before the values grow out of range
  std::size_t refillBytes = 0;

  // What calls are given.
  const char* source() const { return inPlace ? refillTo : send; }
};

struct Timings {
  std::size_t callsPerSample = 1;
  Timing qccl;
  std::optional<Timing> peer;
};

// Calls back to back, as nccl-tests does, and takes the time of every call on every rank. An in-place reduction feeds its result back in;
// its input is restored, outside the time taken, before sums leave the range of the data type. With a peer both libraries take turns, call
// by call, and change places in every round (q p p q q p ...), so that each follows itself as often as the other. Collective: all ranks
// agree on the number of iterations. On a GPU an iteration is a sample of several calls, which all ranks begin together, and its time that
// of one of them; turns are taken sample by sample.
Timings timeCollective(const Options& options, const Shape& shape, const Operands& operands, Rank& rank, Peer* peer, Memory& memory);

// The same for any call on the operands, and `peerCall` in turn with it (nullptr: alone). Both must outlive this function.
Timings timeCalls(const Options& options, const Operands& operands, Rank& rank, Memory& memory, const std::function<void()>& call,
                  const std::function<void()>* peerCall = nullptr);

// After this many in-place calls the values of ordinary data may be near the end of the type's range.
std::size_t callsBetweenRefills(const Options& options, int ranks);

}  // namespace qccl::bench
