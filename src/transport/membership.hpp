// What joining a communicator yields: the two halves of one rank's membership.
#pragma once

#include <memory>
#include <vector>

#include "transport/control.hpp"
#include "transport/transport.hpp"

namespace qccl::transport {

// Destroyed in the right order: first the transport, then the control channel (whose end, without leave(), tells the other ranks of a
// death).
struct Membership {
  std::unique_ptr<Control> control;
  std::unique_ptr<Transport> transport;
  std::vector<int> hosts;  // by rank: the number of its host, in order of first appearance; the same on every rank
};

// All `size` ranks of a communicator inside this process, by rank; each is then used by a thread of its own. Throws
// Error(qcclInvalidArgument) unless size > 0.
std::vector<Membership> connectInproc(int size);

}  // namespace qccl::transport
