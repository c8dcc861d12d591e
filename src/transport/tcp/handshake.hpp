// The rank's part of meeting: connect, prove the secret, have the root prove it.
#pragma once

#include "transport/tcp/protocol.hpp"

namespace qccl::transport {

enum class HandshakeResult {
  accepted,
  nobodyThere,  // connection refused
  hungUp,       // the other side ended the connection after our hello: it does not know the id
  tryAgain,     // ended before it had our hello (an overloaded rendezvous makes room that way)
  impostor,     // somebody else listens there: no challenge, or no proof of the secret
  timedOut,
};

// One attempt. hello.room, nonce and process are filled in here. `socket` is set when accepted.
HandshakeResult shakeHands(const UniqueIdFields& id, Hello hello, Deadline deadline, Fd& socket);

}  // namespace qccl::transport
