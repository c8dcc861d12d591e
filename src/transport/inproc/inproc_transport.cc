// Matching by (source, tag) between threads. Whoever arrives second copies, outside every lock: a sender straight into a waiting receiver's
// buffer, a receiver straight out of a waiting sender's.
//
// Life of an operation: waiting (listed in its channel) -> copying (taken out of the list by the peer, under the channel's lock) -> done or
// wrongSize. The state is an atomic, so poll() is one load; the release store of the end state publishes the copied bytes.
#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "transport/inproc/inproc_hub.hpp"
#include "transport/membership.hpp"

namespace qccl::transport {
namespace {

enum class State { waiting, copying, done, wrongSize };

// One side of a message. Shared by its request and, while it waits or is being copied, by the channel or the peer.
struct Operation {
  std::atomic<State> state{State::waiting};
  bool isSend = false;
  const void* source = nullptr;  // of a send; points into `eager` when that is used
  void* target = nullptr;        // of a receive
  std::size_t bytes = 0;
  std::size_t arrivedBytes = 0;  // of a receive that ended as wrongSize
  std::unique_ptr<std::byte[]> eager;
};
using OperationPtr = std::shared_ptr<Operation>;

// From one rank to another. At any time a tag's list holds only sends or only receives, in the order in which they were made.
struct Channel {
  std::mutex mutex;
  std::unordered_map<Tag, std::vector<OperationPtr>> waiting;

  // Takes the oldest waiting operation of the other kind, marked as copying; nullptr if there is none. Under the lock.
  OperationPtr takePeer(Tag tag, bool wantSend) {
    const auto found = waiting.find(tag);
    if (found == waiting.end() || found->second.front()->isSend != wantSend) return nullptr;
    OperationPtr peer = std::move(found->second.front());
    found->second.erase(found->second.begin());
    if (found->second.empty()) waiting.erase(found);
    peer->state.store(State::copying, std::memory_order_relaxed);
    return peer;
  }

  // False if the peer already took it. Under the lock.
  bool remove(Tag tag, const Operation* operation) {
    const auto found = waiting.find(tag);
    if (found == waiting.end()) return false;
    std::vector<OperationPtr>& list = found->second;
    for (auto at = list.begin(); at != list.end(); ++at) {
      if (at->get() != operation) continue;
      list.erase(at);
      if (list.empty()) waiting.erase(found);
      return true;
    }
    return false;
  }
};

// Both are out of the list. A message of the wrong size is dropped; the receiver hears of it, the sender has done its part.
void copyMessage(Operation& send, Operation& receive) {
  State end = State::done;
  if (send.bytes != receive.bytes) {
    receive.arrivedBytes = send.bytes;
    end = State::wrongSize;
  } else if (send.bytes > 0) {
    std::memcpy(receive.target, send.source, send.bytes);
  }
  // A sender or receiver may free its buffer as soon as it sees the end state.
  send.state.store(State::done, std::memory_order_release);
  receive.state.store(end, std::memory_order_release);
}

}  // namespace

class InprocHub {
 public:
  explicit InprocHub(int size) : size_(size), channels_(static_cast<std::size_t>(size) * static_cast<std::size_t>(size)) {}

  int size() const { return size_; }
  Channel& channel(int from, int to) {
    return channels_[static_cast<std::size_t>(from) * static_cast<std::size_t>(size_) + static_cast<std::size_t>(to)];
  }

 private:
  const int size_;
  std::vector<Channel> channels_;
};

namespace {

class InprocRequest final : public Request {
 public:
  InprocRequest(std::shared_ptr<InprocHub> hub, Channel& channel, int source, Tag tag, OperationPtr operation)
      : hub_(std::move(hub)), channel_(channel), source_(source), tag_(tag), operation_(std::move(operation)) {}

  ~InprocRequest() override {
    if (ended()) return;
    {
      const std::lock_guard lock(channel_.mutex);
      if (channel_.remove(tag_, operation_.get())) return;
    }
    while (!ended()) std::this_thread::yield();  // the peer is copying: as long as one memcpy takes
  }

  bool poll() override {
    const State state = operation_->state.load(std::memory_order_acquire);
    if (state == State::wrongSize) {
      fail(qcclInvalidUsage, "the message from rank ", source_, " (tag ", tag_, ") has ", operation_->arrivedBytes, " bytes, but ",
           operation_->bytes, " were expected: the ranks' calls do not fit one another");
    }
    return state == State::done;
  }

 private:
  bool ended() const {
    const State state = operation_->state.load(std::memory_order_acquire);
    return state == State::done || state == State::wrongSize;
  }

  const std::shared_ptr<InprocHub> hub_;  // keeps the channel alive
  Channel& channel_;
  const int source_;
  const Tag tag_;
  const OperationPtr operation_;
};

class InprocTransport final : public Transport {
 public:
  InprocTransport(std::shared_ptr<InprocHub> hub, int rank) : hub_(std::move(hub)), rank_(rank) {}

  const char* name() const override { return "inproc"; }

  std::unique_ptr<Request> send(int peer, Tag tag, const void* data, std::size_t bytes) override {
    checkPeer(peer, tag);
    Channel& channel = hub_->channel(rank_, peer);
    auto mine = std::make_shared<Operation>();
    mine->isSend = true;
    mine->source = data;
    mine->bytes = bytes;
    auto request = std::make_unique<InprocRequest>(hub_, channel, rank_, tag, mine);
    std::unique_lock lock(channel.mutex);
    if (const OperationPtr receive = channel.takePeer(tag, /*wantSend=*/false)) {
      lock.unlock();
      copyMessage(*mine, *receive);
      return request;
    }
    if (bytes > kInprocEagerBytes) {
      channel.waiting[tag].push_back(std::move(mine));
      return request;
    }
    auto buffered = std::make_shared<Operation>();
    buffered->isSend = true;
    buffered->bytes = bytes;
    if (bytes > 0) {
      buffered->eager.reset(new std::byte[bytes]);
      std::memcpy(buffered->eager.get(), data, bytes);
      buffered->source = buffered->eager.get();
    }
    channel.waiting[tag].push_back(std::move(buffered));
    mine->state.store(State::done, std::memory_order_relaxed);
    return request;
  }

  std::unique_ptr<Request> recv(int peer, Tag tag, void* data, std::size_t bytes) override {
    checkPeer(peer, tag);
    Channel& channel = hub_->channel(peer, rank_);
    auto mine = std::make_shared<Operation>();
    mine->target = data;
    mine->bytes = bytes;
    auto request = std::make_unique<InprocRequest>(hub_, channel, peer, tag, mine);
    std::unique_lock lock(channel.mutex);
    const OperationPtr send = channel.takePeer(tag, /*wantSend=*/true);
    if (send == nullptr) {
      channel.waiting[tag].push_back(std::move(mine));
      return request;
    }
    lock.unlock();
    copyMessage(*send, *mine);
    return request;
  }

  void flush() override {}  // what a finished send left behind is the hub's, not this rank's

 private:
  void checkPeer(int peer, Tag tag) const {
    QCCL_CHECK(peer >= 0 && peer < hub_->size() && peer != rank_);
    QCCL_CHECK(tag >> kTagBits == 0);
  }

  const std::shared_ptr<InprocHub> hub_;
  const int rank_;
};

}  // namespace

std::shared_ptr<InprocHub> makeInprocHub(int size) { return std::make_shared<InprocHub>(size); }

std::unique_ptr<Transport> makeInprocTransport(std::shared_ptr<InprocHub> hub, int rank) {
  QCCL_CHECK(rank >= 0 && rank < hub->size());
  return std::make_unique<InprocTransport>(std::move(hub), rank);
}

std::vector<Membership> connectInproc(int size) {
  if (size <= 0) fail(qcclInvalidArgument, "a communicator of ", size, " ranks was asked for; the number of ranks must be at least 1");
  const auto hub = makeInprocHub(size);
  const auto group = makeInprocGroup(size);
  std::vector<Membership> members(static_cast<std::size_t>(size));
  for (int rank = 0; rank < size; ++rank) {
    members[static_cast<std::size_t>(rank)] = {makeInprocControl(group, rank), makeInprocTransport(hub, rank),
                                               std::vector<int>(members.size(), 0)};
  }
  return members;
}

}  // namespace qccl::transport
