// What a communicator has done, for qcclCommGetStats: added up over all calls, and of the last one alone.
#pragma once

#include <qccl/qccl.h>

#include <mutex>
#include <string>

namespace qccl::collectives {

// From any thread at any time; never waits longer than a copy takes.
class Statistics {
 public:
  Statistics();

  // One completed call, or one group of point-to-point operations.
  void add(const qcclStats_t& call);

  qcclStats_t total() const;
  qcclStats_t lastCall() const;

 private:
  mutable std::mutex mutex_;
  qcclStats_t total_;
  qcclStats_t last_;
};

// All zero, with the size set, and no signal-to-noise ratio.
qcclStats_t noStatistics();

// "12 calls (10 quantized), 3145728 elements, 9.4 MB sent instead of 37.7 MB, ...": for the log.
std::string describe(const qcclStats_t& stats);

}  // namespace qccl::collectives
