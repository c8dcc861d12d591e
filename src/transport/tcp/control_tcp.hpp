// A rank's end of the control channel over TCP: one connection to the root (see rendezvous_server.hpp), served by one background thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "transport/control.hpp"
#include "transport/tcp/protocol.hpp"

namespace qccl::transport {

class TcpControl final : public Control {
 public:
  // Finds the rendezvous, proves the secret and waits for all ranks. 0 <= rank < size. Throws Error: qcclTimeout naming the missing ranks,
  // qcclInvalidUsage when the ranks contradict one another, qcclRemoteError when the rendezvous is not there or one of the ranks died
  // meanwhile.
  static std::unique_ptr<TcpControl> join(const UniqueIdFields& id, int rank, int size, Deadline deadline,
                                          std::chrono::milliseconds linkTimeout);

  ~TcpControl() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::vector<std::string> allGather(const std::string& mine, Deadline deadline) override;
  void fail(const Failure& failure) noexcept override;
  bool failed() const noexcept override { return failed_.load(std::memory_order_acquire); }
  Failure failure() const override;
  std::vector<std::optional<RankStatus>> askStatuses(Deadline deadline) override;
  void leave(Deadline deadline) override;

 private:
  TcpControl(Fd socket, std::string rootText, int rank, int size);

  void run();
  bool readSome();
  bool writeSome();
  void handle(const Frame& frame);
  void rootGone(const std::string& why);
  void setFailure(const Failure& failure);                 // under the lock
  void enqueue(FrameType type, std::string_view payload);  // under the lock
  void wake();
  void awaitJoined(Deadline deadline);
  std::vector<int> askMissing(std::unique_lock<std::mutex>& lock, std::uint8_t what);

  Fd socket_;
  Fd wake_;
  const std::string rootText_;  // its address, for sentences
  const int rank_;
  const int size_;
  std::atomic<bool> failed_{false};
  std::string in_;  // of the thread

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string out_;
  bool stop_ = false;
  bool joined_ = false;
  bool leaving_ = false;
  bool allLeft_ = false;
  bool rootGone_ = false;
  std::vector<int> rootRanks_;
  std::optional<std::vector<std::string>> gathered_;
  std::optional<std::vector<int>> missing_;
  std::vector<std::optional<RankStatus>> statuses_;
  bool failureEchoed_ = false;
  Failure failure_;
  std::thread thread_;
};

// True if a rendezvous that still waits for ranks answers at the id's address and proves the secret. Takes no longer than the deadline.
bool rendezvousIsWaiting(const UniqueIdFields& id, Deadline deadline);

}  // namespace qccl::transport
