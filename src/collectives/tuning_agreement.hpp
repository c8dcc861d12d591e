// One tuning table for all ranks of a communicator, though their environments may differ: what a call does must be chosen alike everywhere.
#pragma once

#include <memory>
#include <string>

#include "collectives/tuning_table.hpp"
#include "core/deadline.hpp"
#include "transport/control.hpp"

namespace qccl::collectives {

// Rank 0's table (readTuning of its `path`) on every rank; those of the others are not looked at. Collective. If rank 0 cannot read it,
// every rank throws that Error(qcclInvalidArgument) and has left the control channel.
std::shared_ptr<const TuningTable> agreeOnTuning(transport::Control& control, const std::string& path, Deadline deadline);

}  // namespace qccl::collectives
