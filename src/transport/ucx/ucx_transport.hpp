// Ranks in several processes and on several hosts, over UCX tag matching: shared memory inside a host, RDMA or TCP between hosts, as UCX
// chooses.
//
// One UCX context, worker and set of endpoints a communicator, used by one thread at a time. Several communicators, and several ranks in
// one process, are independent of one another.
#pragma once

#include <memory>
#include <vector>

#include "core/settings.hpp"
#include "transport/control.hpp"
#include "transport/transport.hpp"

namespace qccl::transport {

// Collective over the ranks of `control`, which must outlive the transport. hosts[r]: the number of rank r's host. Throws Error.
std::unique_ptr<Transport> makeUcxTransport(Control& control, const std::vector<int>& hosts, const Settings& settings, Deadline deadline);

}  // namespace qccl::transport
