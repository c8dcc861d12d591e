// Where the ranks of one process meet: one hub a communicator, shared by all its ranks and kept alive by whoever still holds a transport, a
// control or a request of it.
#pragma once

#include <memory>

#include "transport/control.hpp"
#include "transport/transport.hpp"

namespace qccl::transport {

// Messages up to this size are copied into a buffer of the hub when no receive is waiting, so that the send completes at once. Larger ones
// stay in the sender's buffer until the receiver has copied them: one copy instead of two.
inline constexpr std::size_t kInprocEagerBytes = 8192;

class InprocHub;
class InprocGroup;

// Shared by the ranks of one communicator. size > 0.
std::shared_ptr<InprocHub> makeInprocHub(int size);
std::shared_ptr<InprocGroup> makeInprocGroup(int size);

// Rank `rank`'s end. At most one of each a rank.
std::unique_ptr<Transport> makeInprocTransport(std::shared_ptr<InprocHub> hub, int rank);
std::unique_ptr<Control> makeInprocControl(std::shared_ptr<InprocGroup> group, int rank);

}  // namespace qccl::transport
