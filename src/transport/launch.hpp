// How a program learns which rank it is, how the ranks of a launcher share unique ids, and the launcher for one machine. The logic behind
// include/qccl/launch.h.
#pragma once

#include <qccl/launch.h>

#include "core/settings.hpp"

namespace qccl::transport {

using LaunchInfo = qcclLaunchInfo_t;

// From the environment. Throws Error(qcclInvalidUsage) when the variables contradict one another.
LaunchInfo readLaunchInfo();

// The id that all ranks of the launch get from their n-th call. Collective over the launch, bounded by settings.timeoutMs. Throws Error.
qcclUniqueId launchUniqueId(const LaunchInfo& info, const Settings& settings);

// Starts this executable `nranks` times and waits. Returns 0 if all ended with 0, else the code of the first rank that did not (128 +
// signal if it was killed). To be called by one thread; SIGINT, SIGTERM, SIGHUP and SIGCHLD are blocked in it meanwhile. Throws Error when
// the ranks cannot be started.
int launchLocal(int nranks, char* const argv[]);

}  // namespace qccl::transport
