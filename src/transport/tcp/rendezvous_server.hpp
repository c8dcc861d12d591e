// The process-side of a unique id: where the ranks meet, and afterwards the root of their control channel.
//
// One thread a listening socket; all its sockets are non-blocking, so that no connection can hold up another. A room is one communicator:
// it is gathering until all ranks have come, then met; it has failed once any rank has. The socket listens only while a room still waits
// for ranks. The thread ends by itself when all rooms are over, and at the end of the process.
//
// Strangers: before the secret is proven a connection may send the bytes of one hello and take kHandshakeLimit; at most kMaxStrangers are
// held, then the oldest goes. They are answered with a challenge and silence.
#pragma once

#include <chrono>
#include <functional>

#include "transport/tcp/unique_id.hpp"

namespace qccl::transport {

inline constexpr std::chrono::seconds kHandshakeLimit{10};
inline constexpr std::size_t kMaxStrangers = 256;
// How long a connection may take to end after its last message.
inline constexpr std::chrono::seconds kGoodbyeLimit{10};

struct RendezvousOptions {
  std::chrono::milliseconds timeout{};      // for all ranks to come
  std::chrono::milliseconds linkTimeout{};  // after which a silent, unreachable rank counts as dead
  std::function<void()>
      onMeetingEnd;  // called once on the server's thread, when the ranks have met or cannot meet any more; must not throw; may be empty
};

// Opens a room for the secret, listening on `wanted` (port 0: any free port), and returns the address with the port. Rooms on the same
// address and port share one listener. Throws Error(qcclSystemError), also when another program has the port.
SocketAddress openRendezvous(const SocketAddress& wanted, const Secret& secret, RendezvousOptions options);

// How many servers of this process have not ended yet. For tests.
int runningRendezvousServers();

}  // namespace qccl::transport
