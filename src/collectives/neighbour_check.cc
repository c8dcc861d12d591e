#include "collectives/neighbour_check.hpp"

namespace qccl::collectives {

NeighbourCheck::NeighbourCheck(const Announcement& own, transport::Tag tag, transport::Transport& transport, int rank, int size)
    : rank_(rank), left_((rank + size - 1) % size), right_((rank + 1) % size), own_(own) {
  received_ = transport.recv(left_, tag, &theirs_, sizeof(theirs_));
  sent_ = transport.send(right_, tag, &own_, sizeof(own_));
}

bool NeighbourCheck::poll() {
  if (received_ && received_->poll()) {
    received_.reset();
    checkAnnouncement(own_, rank_, theirs_, left_);
  }
  if (sent_ && sent_->poll()) sent_.reset();
  return !received_ && !sent_;
}

void NeighbourCheck::collectAwaited(std::set<int>* peers) const {
  if (received_) peers->insert(left_);
  if (sent_) peers->insert(right_);
}

}  // namespace qccl::collectives
