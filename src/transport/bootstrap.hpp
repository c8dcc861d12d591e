// How ranks that do not share a process become a communicator: by a unique id, which names a rendezvous and carries a secret.
#pragma once

#include <qccl/qccl.h>

#include <chrono>
#include <functional>

#include "core/settings.hpp"
#include "transport/membership.hpp"

namespace qccl::transport {

// Starts a rendezvous in this process and returns the id that leads to it. The rendezvous waits settings.timeoutMs for the ranks, then
// tells those that came who is missing. Once they have met it is the root of their control channel until all have left, so this process
// must live until then (not when all ranks live in this process). The address is chosen by settings.interfaceName. Throws Error.
qcclUniqueId makeUniqueId(const Settings& settings, std::function<void()> onMeetingEnd = {});

// Joins as rank `rank` of `size`: meets the others (bounded by settings.timeoutMs), agrees with them on the transport (settings.transport;
// "auto": inproc if all ranks live in this process, else ucx) and connects it. Collective. Throws Error: qcclInvalidArgument and
// qcclInvalidUsage for what the callers did, qcclTimeout naming the missing ranks, qcclRemoteError naming a rank that died meanwhile.
Membership joinTcp(const qcclUniqueId& id, int rank, int size, const Settings& settings);

// After how long a rank or root whose host or network has vanished without a word counts as dead (a dead process is noticed at once).
std::chrono::milliseconds linkTimeout(const Settings& settings);

}  // namespace qccl::transport
