// SIGINT and SIGTERM as a wish to stop after the step under way.
#pragma once

namespace qccl::train {

// From now on the first SIGINT or SIGTERM sets the request; a second one ends the process at once.
void catchStopSignals();

// The signal that asked for it; 0: none so far.
int stopRequested();

}  // namespace qccl::train
