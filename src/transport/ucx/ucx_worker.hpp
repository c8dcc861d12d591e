// One communicator's UCX objects: context, worker, an endpoint for each peer. Owns them and knows which peers are gone.
//
// UCX does things only while its progress function runs. Some of them are for peers, after our own requests are done: the acknowledgement
// that ends a peer's large send may still be queued when our receive of it is complete, and a TCP peer's flush waits for our answer. A rank
// that then computes, or waits for something else, would hold them up, or block them for ever. So a service thread makes progress at
// intervals whenever the caller does not.
//
// Threads: everything but the constructor and destructor is called with the lock() held.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/deadline.hpp"
#include "core/settings.hpp"
#include "transport/control.hpp"
#include "transport/ucx/ucx_library.hpp"

namespace qccl::transport {

class UcxWorker {
 public:
  // oneHost: no rank is on another host. Throws Error(qcclSystemError).
  UcxWorker(int rank, int size, bool oneHost, const Settings& settings);
  ~UcxWorker();
  UcxWorker(const UcxWorker&) = delete;
  UcxWorker& operator=(const UcxWorker&) = delete;

  // Also tells the service thread that the caller is at it.
  std::unique_lock<std::mutex> lock() {
    activity_.fetch_add(1, std::memory_order_relaxed);
    return std::unique_lock(mutex_);
  }

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(peers_.size()); }
  ucp_worker_h get() const { return worker_; }

  // Opaque bytes by which other ranks' workers reach this one.
  std::string address() const;

  // Makes the endpoint for every other rank. addresses by rank. Throws Error(qcclSystemError).
  void connect(const std::vector<std::string>& addresses);

  ucp_ep_h endpoint(int peer) const { return peers_[static_cast<std::size_t>(peer)].endpoint; }

  // UCS_OK, or what UCX reported when the connection to the peer broke.
  ucs_status_t peerStatus(int peer) const { return peers_[static_cast<std::size_t>(peer)].status; }

  // To be called again and again once a message to or from the peer has failed. A broken connection is often the echo of something that the
  // control channel knows better (who died, which rank reported what), so that gets kEchoLimit to say it: returns meanwhile, and then
  // throws its failure, or else what UCX reported: `status`, or the peer's when that is set. Throws at once when the control channel is
  // gone.
  void reportLoss(int peer, ucs_status_t status);

  // The control channel of the communicator, nullptr once it may be gone.
  void setControl(const Control* control) { control_ = control; }

  // Does nothing once a connection had to be closed by force (closePeer). Only a failed communicator does that, and UCX's answers to peers
  // that still send on such a connection can trip an assertion inside UCX there, which ends the process: a worker that is not driven any
  // more gives no answers, and touches no buffer.
  void progress() {
    if (!retired_) ucx().ucp_worker_progress(worker_);
  }

  // Something was sent to the peer or received from it: there may be more to push out on its connection than our requests know of.
  void markUsed(int peer) { peers_[static_cast<std::size_t>(peer)].used = true; }

  // Starts pushing out all of that and returns UCX's requests for it, to be waited for and freed by the caller.
  std::vector<void*> startFlush();

  // Ends the connection to a peer at once; its unfinished requests complete as cancelled during progress. No-op when already closed.
  void closePeer(int peer);

 private:
  struct Peer {
    ucp_ep_h endpoint = nullptr;
    ucs_status_t status = UCS_OK;
    bool used = false;  // since the last flush
  };

  static void onEndpointError(void* argument, ucp_ep_h endpoint, ucs_status_t status);
  void startClosing(Peer& peer);
  void finishClosing(Deadline deadline);

  void serve();

  const int rank_;
  std::mutex mutex_;  // of all below, down to echoDeadline_
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  std::vector<Peer> peers_;  // by rank
  bool retired_ = false;
  std::vector<void*> closing_;
  const Control* control_ = nullptr;
  std::optional<Deadline> echoDeadline_;  // set at the first loss

  std::atomic<std::uint64_t> activity_{0};
  std::mutex serviceMutex_;
  std::condition_variable stopping_;
  bool stop_ = false;
  std::thread service_;
};

}  // namespace qccl::transport
