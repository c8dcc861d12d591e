// Ranks as threads of this process.
#pragma once

#include <qccl/qccl.h>

#include <functional>
#include <map>
#include <vector>

namespace qccl::bench::numerics {

// Runs work(rank) for each rank in a thread of its own. Throws what the first failing rank threw.
void onEachRank(int ranks, const std::function<void(int rank)>& work);

// Communicators of every size that was asked for, kept until the end.
class Communicators {
 public:
  Communicators() = default;
  ~Communicators();
  Communicators(const Communicators&) = delete;
  Communicators& operator=(const Communicators&) = delete;

  // One communicator a rank.
  const std::vector<qcclComm_t>& ofSize(int ranks);

 private:
  std::map<int, std::vector<qcclComm_t>> comms_;
};

}  // namespace qccl::bench::numerics
