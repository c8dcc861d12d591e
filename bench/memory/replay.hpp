// Runs a trace again and again, and says what it cost.
#pragma once

#include <functional>
#include <string>

#include "memory/allocators.hpp"
#include "memory/pool.hpp"
#include "memory/traces.hpp"

namespace qccl::memory {

struct Measurement {
  std::string trace;
  std::string allocator;
  std::size_t ops = 0;            // calls that allocate or free, a run
  double firstNanoseconds = 0;    // a call, in the first run: with what is taken from the system
  double nanoseconds = 0;         // a call, median of the later runs
  std::size_t usedBytes = 0;      // most asked for at a time
  std::size_t reservedBytes = 0;  // most taken from the system at a time
  double fragmentation() const {  // share of what was taken that nobody had asked for when most was
    return reservedBytes == 0 ? 0 : 1.0 - static_cast<double>(usedBytes) / static_cast<double>(reservedBytes);
  }
};

struct Device {
  MemorySpace* space = nullptr;
  std::vector<StreamHandle> streams;  // by the number that a trace has for them; all NULL on the host
  std::function<void()> synchronize = [] {};
};

// Times are those of the calling thread, with a wait for the device outside them after each run. What is reserved is looked at after every
// call of one more run, which is not timed.
Measurement replay(const FlatTrace& trace, Allocator& allocator, const Device& device, int runs);

// The same through save and restore.
Measurement replay(const std::vector<TraceEvent>& trace, Pool& pool, const Device& device, int runs);

}  // namespace qccl::memory
