// Steps that all ranks of a communicator take together, or not at all.
#pragma once

#include <functional>

#include "core/deadline.hpp"
#include "transport/control.hpp"

namespace qccl::transport {

// Runs body() and lets every rank know whether that worked: throws on all, with the code and the sentence of the first rank that has one,
// if it failed with an Error on any. Collective over the ranks of `control`.
void together(Control& control, Deadline deadline, const std::function<void()>& body);

}  // namespace qccl::transport
