// The control channel of one communicator: how its ranks meet, exchange addresses, and learn at once that one of them has failed. Carries
// no data of collectives.
//
// Two implementations: inproc (ranks are threads of one process) and tcp (a star of TCP connections around the rendezvous, see
// bootstrap.hpp).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
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

// What a rank is doing, for the others to find out whom they are really waiting for.
struct RankStatus {
  std::uint64_t call = 0;  // number of the last collective that it has entered
  int awaited = -1;        // the rank that it waits for there; -1 when it is not waiting
};

// One rank's status, written by its thread and read by others.
class StatusCell {
 public:
  void set(const RankStatus& status) noexcept {
    call_.store(status.call, std::memory_order_relaxed);
    awaited_.store(status.awaited, std::memory_order_relaxed);
  }
  RankStatus get() const noexcept { return {call_.load(std::memory_order_relaxed), awaited_.load(std::memory_order_relaxed)}; }

 private:
  std::atomic<std::uint64_t> call_{0};
  std::atomic<int> awaited_{-1};
};

class Control {
 public:
  virtual ~Control() = default;  // without leave() before, the other ranks see a death

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Every rank's `mine`, by rank. Collective. Throws qcclTimeout naming the ranks that did not come, or what failure() says.
  virtual std::vector<std::string> allGather(const std::string& mine, Deadline deadline) = 0;

  // Makes the failure known on every rank; the first one wins everywhere it arrives first. From any thread, blocks for half a second at
  // most, never throws.
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

  // Tells what this rank is doing; costs two stores. From any thread.
  void setStatus(const RankStatus& status) noexcept { status_->set(status); }

  // What every rank is doing now, by rank; nullopt for a rank that does not answer before the deadline, which is a rank whose process is
  // stopped or cannot be reached. Answers come without help from the thread that runs collectives.
  virtual std::vector<std::optional<RankStatus>> askStatuses(Deadline deadline) = 0;

  // Throws failure() as an Error when failed().
  void throwIfFailed() const {
    if (failed()) {
      const Failure f = failure();
      throw Error(f.code, f.what);
    }
  }

 protected:
  const std::shared_ptr<StatusCell> status_ = std::make_shared<StatusCell>();
};

}  // namespace qccl::transport
