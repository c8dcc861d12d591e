#include "transport/ucx/ucx_transport.hpp"

#include <algorithm>
#include <utility>

#include "core/backoff.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "transport/ucx/ucx_worker.hpp"

namespace qccl::transport {
namespace {

// How long destroying an unfinished request may wait for UCX to let go of its buffer.
constexpr std::chrono::seconds kCancelLimit{5};

constexpr ucp_tag_t kWholeTag = ~ucp_tag_t{0};

ucp_tag_t wireTag(int sender, Tag tag) { return ucp_tag_t{static_cast<std::uint64_t>(sender)} << kTagBits | tag; }

// Shared by the transport and its requests, which may outlive it.
using WorkerPtr = std::shared_ptr<UcxWorker>;

class UcxRequest : public Request {
 public:
  UcxRequest(WorkerPtr worker, int peer, Tag tag, std::size_t bytes) : worker_(std::move(worker)), peer_(peer), tag_(tag), bytes_(bytes) {}

 protected:
  // One step. Never UCS_INPROGRESS twice without progress in between. Under the worker's lock.
  ucs_status_t step() {
    if (request_ == nullptr) return status_;
    ucs_status_t status = ucx().ucp_request_check_status(request_);
    if (status == UCS_INPROGRESS) {
      worker_->progress();
      status = ucx().ucp_request_check_status(request_);
    }
    if (status != UCS_INPROGRESS) finish(status);
    return status;
  }

  void finish(ucs_status_t status) {
    if (request_ != nullptr) ucx().ucp_request_free(std::exchange(request_, nullptr));
    status_ = status;
  }

  // Takes what a posting function returned.
  void start(ucs_status_ptr_t posted) {
    if (UCS_PTR_IS_PTR(posted)) {
      request_ = posted;
      status_ = UCS_INPROGRESS;
    } else {
      status_ = UCS_PTR_STATUS(posted);
    }
  }

  bool unfinished() const { return request_ != nullptr; }

  bool progressUntilFinished(Deadline deadline) {
    Backoff backoff;
    while (true) {
      {
        const auto lock = worker_->lock();
        if (step() != UCS_INPROGRESS) return true;
      }
      if (deadline.passed()) return false;
      backoff.pause();
    }
  }

  // The last resort of a destructor: with the connection gone UCX gives the buffer back.
  void closeAndFinish() {
    {
      const auto lock = worker_->lock();
      worker_->closePeer(peer_);
    }
    // Closing by force mostly ends the request at once. If not, it ends with the worker, which touches nothing until then.
    if (!progressUntilFinished(Deadline::in(std::chrono::seconds(0)))) static_cast<void>(std::exchange(request_, nullptr));
  }

  const WorkerPtr worker_;
  const int peer_;
  const Tag tag_;
  const std::size_t bytes_;
  void* request_ = nullptr;  // UCX's, while unfinished
  ucs_status_t status_ = UCS_INPROGRESS;
};

class UcxSend final : public UcxRequest {
 public:
  UcxSend(WorkerPtr worker, int peer, Tag tag, const void* data, std::size_t bytes) : UcxRequest(std::move(worker), peer, tag, bytes) {
    const auto lock = worker_->lock();
    if (worker_->peerStatus(peer) != UCS_OK) {
      finish(worker_->peerStatus(peer));
      return;
    }
    worker_->markUsed(peer);
    const ucp_request_param_t params{};
    start(ucx().ucp_tag_send_nbx(worker_->endpoint(peer), data, bytes, wireTag(worker_->rank(), tag), &params));
  }

  ~UcxSend() override {
    if (unfinished() && !progressUntilFinished(Deadline::in(std::chrono::seconds(0))))
      closeAndFinish();  // UCX cannot take back a single send
  }

  bool poll() override {
    if (status_ == UCS_OK) return true;
    const auto lock = worker_->lock();
    const ucs_status_t status = step();
    if (status == UCS_INPROGRESS || status == UCS_OK) return status == UCS_OK;
    worker_->reportLoss(peer_, status);
    return false;
  }
};

class UcxReceive final : public UcxRequest {
 public:
  UcxReceive(WorkerPtr worker, int peer, Tag tag, void* data, std::size_t bytes) : UcxRequest(std::move(worker), peer, tag, bytes) {
    const auto lock = worker_->lock();
    worker_->markUsed(peer);
    ucp_request_param_t params{};
    params.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
    params.cb.recv = [](void*, ucs_status_t, const ucp_tag_recv_info_t* info, void* self) {
      static_cast<UcxReceive*>(self)->arrivedBytes_ = info->length;
    };
    params.user_data = this;
    start(ucx().ucp_tag_recv_nbx(worker_->get(), data, bytes, wireTag(peer, tag), kWholeTag, &params));
  }

  ~UcxReceive() override {
    if (!unfinished()) return;
    auto limit = kCancelLimit;
    {
      const auto lock = worker_->lock();
      if (worker_->peerStatus(peer_) != UCS_OK) limit = std::chrono::seconds(0);
      ucx().ucp_request_cancel(worker_->get(), request_);
    }
    // A receive that has no message yet ends at once. One whose message is on its way ends when that is here, or with the connection.
    if (!progressUntilFinished(Deadline::in(limit))) closeAndFinish();
  }

  bool poll() override {
    if (status_ == UCS_OK && arrivedBytes_ == bytes_) return true;
    const auto lock = worker_->lock();
    const ucs_status_t status = step();
    if (status == UCS_INPROGRESS && worker_->peerStatus(peer_) == UCS_OK) return false;
    if (status == UCS_ERR_MESSAGE_TRUNCATED || (status == UCS_OK && arrivedBytes_ != bytes_)) {
      fail(qcclInvalidUsage, "the message from rank ", peer_, " (tag ", tag_, ") has ", arrivedBytes_, " bytes, but ", bytes_,
           " were expected: the ranks' calls do not fit one another");
    }
    if (status == UCS_OK) return true;
    worker_->reportLoss(peer_, status);
    return false;
  }

 private:
  std::size_t arrivedBytes_ = 0;
};

class UcxTransport final : public Transport {
 public:
  UcxTransport(Control& control, WorkerPtr worker, std::chrono::milliseconds timeout)
      : control_(control), worker_(std::move(worker)), timeout_(timeout) {
    const auto lock = worker_->lock();
    worker_->setControl(&control_);
  }
  ~UcxTransport() override {
    const auto lock = worker_->lock();
    worker_->setControl(nullptr);  // requests may outlive the communicator
  }

  const char* name() const override { return "ucx"; }

  std::unique_ptr<Request> send(int peer, Tag tag, const void* data, std::size_t bytes) override {
    checkPeer(peer, tag);
    return std::make_unique<UcxSend>(worker_, peer, tag, data, bytes);
  }

  std::unique_ptr<Request> recv(int peer, Tag tag, void* data, std::size_t bytes) override {
    checkPeer(peer, tag);
    return std::make_unique<UcxReceive>(worker_, peer, tag, data, bytes);
  }

  // By endpoint, not by worker: UCX's worker flush does not wait for what an endpoint has queued.
  void flush() override {
    const auto release = [](void* request) {
      if (ucx().ucp_request_check_status(request) == UCS_INPROGRESS) return false;
      ucx().ucp_request_free(request);
      return true;
    };
    const Deadline deadline = Deadline::in(timeout_);
    auto lock = worker_->lock();
    std::vector<void*> requests = worker_->startFlush();
    Backoff backoff;
    while (true) {
      // A connection that breaks meanwhile is for the next send or receive to report.
      std::erase_if(requests, release);
      if (requests.empty()) return;
      if (control_.failed() || deadline.passed()) break;
      lock.unlock();
      backoff.pause();
      lock = worker_->lock();
      worker_->progress();
    }
    for (void* request : requests) ucx().ucp_request_free(request);  // UCX keeps them until they are done
    control_.throwIfFailed();
    fail(qcclTimeout, "rank ", worker_->rank(), ": what was sent has not left after ", timeout_.count(), " ms (QCCL_TIMEOUT_MS)");
  }

 private:
  void checkPeer(int peer, Tag tag) const {
    QCCL_CHECK(peer >= 0 && peer < worker_->size() && peer != worker_->rank());
    QCCL_CHECK(tag >> kTagBits == 0);
  }

  Control& control_;
  const WorkerPtr worker_;
  const std::chrono::milliseconds timeout_;
};

// Exchanges a message with every peer, so that all connections are made before the first call. UCX makes them at first use otherwise, and a
// failure during that first call, when some ranks close connections that others still make, can trip an assertion inside UCX, which ends
// the process.
void meetAll(UcxTransport& transport, Control& control, Deadline deadline) {
  constexpr Tag kMeetingTag = 0;
  const char greeting = 'q';
  std::vector<char> greetings(static_cast<std::size_t>(control.size()));
  std::vector<std::unique_ptr<Request>> requests;
  for (int peer = 0; peer < control.size(); ++peer) {
    if (peer == control.rank()) continue;
    requests.push_back(transport.recv(peer, kMeetingTag, &greetings[static_cast<std::size_t>(peer)], 1));
    requests.push_back(transport.send(peer, kMeetingTag, &greeting, 1));
  }
  Backoff backoff;
  while (std::erase_if(requests, [](const auto& request) { return request->poll(); }) > 0 || !requests.empty()) {
    control.throwIfFailed();
    if (deadline.passed()) {
      fail(qcclTimeout, "rank ", control.rank(),
           " met the other ranks at the rendezvous, but UCX does not connect it to all of them before the timeout; ",
           "check that the hosts reach one another on the interface that UCX uses (QCCL_INTERFACE, UCX_NET_DEVICES)");
    }
    backoff.pause();
  }
  transport.flush();
  control.allGather("", deadline);
}

}  // namespace

std::unique_ptr<Transport> makeUcxTransport(Control& control, const std::vector<int>& hosts, const Settings& settings, Deadline deadline) {
  const bool oneHost = std::equal(hosts.begin() + 1, hosts.end(), hosts.begin());
  auto worker = std::make_shared<UcxWorker>(control.rank(), control.size(), oneHost, settings);
  std::string address;
  {
    const auto lock = worker->lock();
    address = worker->address();
  }
  const std::vector<std::string> addresses = control.allGather(address, deadline);
  {
    const auto lock = worker->lock();
    worker->connect(addresses);
  }
  auto transport = std::make_unique<UcxTransport>(control, std::move(worker), std::chrono::milliseconds(settings.timeoutMs));
  meetAll(*transport, control, deadline);
  return transport;
}

}  // namespace qccl::transport
