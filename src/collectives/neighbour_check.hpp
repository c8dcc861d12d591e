// Tells the right-hand neighbour what is called here and checks what the left-hand neighbour calls. If any two ranks differ, some two
// neighbours do.
#pragma once

#include <memory>
#include <set>

#include "collectives/call.hpp"
#include "transport/transport.hpp"

namespace qccl::collectives {

class NeighbourCheck {
 public:
  // `tag`: of announcements, the same on all ranks and of no other call.
  NeighbourCheck(const Announcement& own, transport::Tag tag, transport::Transport& transport, int rank, int size);

  // True once both messages are through. Throws Error(qcclInvalidUsage) on a mismatch.
  bool poll();

  // Adds the ranks that this one waits for.
  void collectAwaited(std::set<int>* peers) const;

 private:
  const int rank_;
  const int left_;
  const int right_;
  const Announcement own_;
  Announcement theirs_{};
  std::unique_ptr<transport::Request> received_;
  std::unique_ptr<transport::Request> sent_;
};

}  // namespace qccl::collectives
