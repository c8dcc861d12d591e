// Moves bytes between the ranks of one communicator and never looks inside them.
//
// Matching: a receive takes the message of the same (peer, tag); each (peer, tag) pair is used for one message at a time, and messages with
// different tags may overtake one another. There is no flow control beyond what the carrier has, so a sender may be ahead of its receiver
// by what the algorithm allows.
//
// Threads: one thread at a time may use a Transport and its requests. Implementations never block in send, recv or poll; waiting is the
// caller's loop (poll, check Control::failed(), pause, check the deadline), so that every wait ends the same way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace qccl::transport {

// Only the low kTagBits bits may be set: implementations add the sender's rank above them.
using Tag = std::uint64_t;
inline constexpr int kTagBits = 48;

// One message on its way. Destroying an unfinished request cancels it: when the destructor returns, the transport does not touch the buffer
// any more. A cancelled send leaves the transport broken (its peer may have half a message), so that is for failed communicators only.
class Request {
 public:
  virtual ~Request() = default;

  // Makes progress; true once the message has been sent (the buffer may be reused) or has arrived. Idempotent. Throws
  // Error(qcclInvalidUsage) when the message that arrived is not of the expected size (both sizes in the sentence), Error(qcclRemoteError)
  // when the peer is gone; the request is finished then.
  virtual bool poll() = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;

  virtual const char* name() const = 0;  // "inproc", "ucx"

  // Buffers stay the caller's and must live until the request is done or destroyed. bytes may be 0. peer may not be the own rank.
  virtual std::unique_ptr<Request> send(int peer, Tag tag, const void* data, std::size_t bytes) = 0;
  virtual std::unique_ptr<Request> recv(int peer, Tag tag, void* data, std::size_t bytes) = 0;

  // All that was sent has left this rank and does not need it any more. Call before Control::leave(). Throws the communicator's failure, or
  // qcclTimeout. Not needed between calls: what peers still need of a rank that is elsewhere (acknowledgements, say) gets to them without
  // it.
  virtual void flush() = 0;
};

}  // namespace qccl::transport
