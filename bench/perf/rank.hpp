// One rank of a benchmark: its communicators, and the few small exchanges that the ranks need to agree.
#pragma once

#include <qccl/qccl.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "perf/options.hpp"

namespace qccl::bench {

// Owns its communicators: destroyed when the rank is done, aborted when it ends by an exception, so that the other ranks do not wait for
// it.
class Rank {
 public:
  // Takes over the communicators. The first is for timing and exchanges, the others for proof(); see numComms().
  explicit Rank(std::vector<qcclComm_t> comms);
  ~Rank();
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;

  // How many communicators a run needs. Noise of stochastic rounding depends on the number of calls a communicator has made, so that such
  // runs are repeated on a second communicator with the same history; all others just call again.
  static std::size_t numComms(const Options& options) { return options.rounding == qcclRoundStochastic ? 3 : 1; }

  int index() const { return index_; }
  int size() const { return size_; }
  qcclComm_t comm() const { return comms_[0]; }
  // For the first and the second run of a call that should give the same bits twice.
  qcclComm_t proof(std::size_t run) const { return comms_.size() == 1 ? comms_[0] : comms_[1 + run]; }

  void barrier();
  // Rank 0's value on every rank.
  std::uint64_t agree(std::uint64_t value);
  // Every rank's values, in the order of ranks.
  std::vector<double> gather(std::span<const double> mine);
  std::vector<std::uint64_t> gather(std::uint64_t mine);
  std::vector<char> gather(std::span<const char> mine);

  // The rank ended well: the destructor destroys instead of aborting.
  void finish() { finished_ = true; }
  // The rank failed: aborts its communicators at once, which also ends what they do on a GPU.
  void abort();

 private:
  std::vector<qcclComm_t> comms_;
  int index_ = 0;
  int size_ = 1;
  bool finished_ = false;
};

// What every communicator of the run is made with.
qcclConfig_t configOf(const Options& options, const char* transport);

}  // namespace qccl::bench
