// The one place that knows the 128 bytes of a qcclUniqueId. Integers in network byte order.
//
//   offset bytes
//        0     4  magic "qcid"
//        4     1  layout version: 1
//        5     1  address family: 4 or 6
//        6     2  TCP port of the rendezvous
//        8    16  address; IPv4 uses the first 4 bytes, the others are 0
//       24     4  IPv6 scope (interface index, for link-local addresses on one host); 0 otherwise
//       28     1  flags: bit 0: the rendezvous may not have started yet, so a refused connection is tried again
//       29     3  0
//       32    32  secret, from the kernel's random generator
//       64    64  0, reserved
#pragma once

#include <qccl/qccl.h>

#include "transport/tcp/sha256.hpp"
#include "transport/tcp/socket.hpp"

namespace qccl::transport {

using Secret = std::array<std::uint8_t, 32>;
// Names a rendezvous without giving its secret away: the first half of a hash of the secret.
using RoomId = std::array<std::uint8_t, 16>;

struct UniqueIdFields {
  SocketAddress address;
  bool mayStartLater = false;
  Secret secret{};
};

qcclUniqueId encodeUniqueId(const UniqueIdFields& fields);

// Throws Error(qcclInvalidArgument) unless the bytes are an id of this layout.
UniqueIdFields decodeUniqueId(const qcclUniqueId& id);

RoomId roomOf(const Secret& secret);

}  // namespace qccl::transport
