// The control channel of one communicator: how its ranks meet, exchange addresses, and learn at once that one of them has failed. Carries
// no data of collectives.
//
// Two implementations: inproc (ranks are threads of one process) and tcp (a star of TCP connections around the rendezvous, see
// bootstrap.hpp).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/deadline.hpp"
#include "core/error.hpp"

namespace qccl::transport {

// Why a communicator cannot go on.
struct Failure {
  qcclResult_t code = qcclSuccess;
  int rank = -1;     // who reported it, or whose death was seen
  std::string what;  // one sentence, complete in itself: shown on every rank
};

class Control {
 public:
  virtual ~Control() = default;  // without leave() before, the other ranks see a death

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Every rank's `mine`, by rank. Collective. Throws qcclTimeout naming the ranks that did not come, or what failure() says.
  virtual std::vector<std::string> allGather(const std::string& mine, Deadline deadline) = 0;

  // Makes the failure known on every rank; the first one wins everywhere it arrives first. From any thread, does not block for long, never
  // throws.
  virtual void fail(const Failure& failure) noexcept = 0;

  // True once fail() was called on any rank or a rank's process died without leave(). One atomic load: meant for polling loops. From any
  // thread.
  virtual bool failed() const noexcept = 0;

  // The failure, once failed(). Code qcclRemoteError for a dead rank, with the rank in the sentence.
  virtual Failure failure() const = 0;

  // Says goodbye; then nothing that this rank sent is still needed. Where the carrier needs it (tcp, not inproc), waits until every rank
  // has said so or has failed, or until the deadline: throws qcclTimeout naming the ranks that did not come. After a failure returns at
  // once. The last call on a Control besides failed()/failure().
  virtual void leave(Deadline deadline) = 0;

  // Throws failure() as an Error when failed().
  void throwIfFailed() const {
    if (failed()) {
      const Failure f = failure();
      throw Error(f.code, f.what);
    }
  }
};

}  // namespace qccl::transport
