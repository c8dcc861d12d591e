// Another library that makes the same calls on the same buffers in the same run, to be compared with: real MPI and real Gloo, where the
// build found them, and the real NCCL, which is opened at run time.
#pragma once

#include <memory>
#include <string>

#include "perf/collective.hpp"
#include "perf/memory.hpp"
#include "perf/options.hpp"
#include "perf/rank.hpp"

namespace qccl::bench {

// One rank's membership in the other library's group.
class Peer {
 public:
  virtual ~Peer() = default;
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // The library and its version, for people.
  virtual std::string description() const = 0;

  // The call that runCollective makes, with the same operands; blocks until done, or is ordered on the memory's stream. `send` is only read
  // unless the call is in place. Throws ToolError.
  virtual void run(const Shape& shape, const void* send, void* recv, bool inPlace) = 0;

  // All ranks ended well: leaves the group. Collective. Without it the destructor lets go of what is this rank's own, and nobody waits.
  virtual void finish() = 0;

 protected:
  Peer() = default;
};

// Before any rank is started: throws ToolError if this build lacks the library that --against names, or that library cannot make the calls
// that are asked for. `launcher` as in qcclLaunchInfo_t.
void requirePeer(const Options& options, const char* launcher);

// False where the library has no such call; such a placement is measured without it.
bool peerHasInPlace(const Options& options);

// Collective over the ranks; `memory` is that of the operands, and must outlive the peer. nullptr without --against. Throws ToolError.
std::unique_ptr<Peer> makePeer(const Options& options, Rank& rank, Memory& memory);

// One pair a library, in peer_<name>.cc; only those of this build exist.
void requireMpi(const Options& options, const char* launcher);
std::unique_ptr<Peer> makeMpiPeer(const Options& options, Rank& rank);
void requireGloo(const Options& options);
std::unique_ptr<Peer> makeGlooPeer(const Options& options, Rank& rank);
void requireNccl(const Options& options);
std::unique_ptr<Peer> makeNcclPeer(const Options& options, Rank& rank, Memory& memory);

}  // namespace qccl::bench
