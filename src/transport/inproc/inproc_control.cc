// The control channel of ranks that are threads of one process: shared state under one mutex, and an atomic for the polling loops.
#include <condition_variable>
#include <mutex>

#include "transport/inproc/inproc_hub.hpp"
#include "transport/rank_list.hpp"

namespace qccl::transport {

class InprocGroup {
 public:
  explicit InprocGroup(int size)
      : size_(size),
        left_(static_cast<std::size_t>(size), false),
        arrived_(static_cast<std::size_t>(size), false),
        texts_(static_cast<std::size_t>(size)),
        statuses_(static_cast<std::size_t>(size)) {}

  int size() const { return size_; }
  bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }

  Failure failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

  void fail(const Failure& failure) noexcept {
    const std::lock_guard lock(mutex_);
    if (failed_.load(std::memory_order_relaxed)) return;
    failure_ = failure;
    failed_.store(true, std::memory_order_release);
    changed_.notify_all();
  }

  std::vector<std::string> allGather(int rank, const std::string& mine, Deadline deadline) {
    const auto me = static_cast<std::size_t>(rank);
    std::unique_lock lock(mutex_);
    const std::uint64_t round = round_;
    texts_[me] = mine;
    arrived_[me] = true;
    if (missing(arrived_).empty()) {
      result_ = std::make_shared<const std::vector<std::string>>(texts_);
      arrived_.assign(arrived_.size(), false);
      ++round_;
      changed_.notify_all();
    }
    // The result of this round stays until the next one is complete, which needs this rank.
    const auto over = [&] { return round_ != round || failed() || someoneLeft(); };
    const bool inTime = changed_.wait_until(lock, deadline.at(), over);
    if (round_ != round) return *result_;
    if (failed()) throw Error(failure_.code, failure_.what);
    arrived_[me] = false;
    if (inTime) {
      qccl::fail(qcclInvalidUsage, rankList(membersOf(left_, true)), " left the communicator while rank ", rank,
                 " still exchanges with it");
    }
    qccl::fail(qcclTimeout, "rank ", rank, " waited in vain for ", rankList(missing(arrived_, rank)), " to exchange addresses or agree");
  }

  // Does not wait for the others: what this rank sent is in their memory already, and one thread may end the memberships of several ranks
  // in turn.
  void leave(int rank) {
    const std::lock_guard lock(mutex_);
    left_[static_cast<std::size_t>(rank)] = true;
    changed_.notify_all();
  }

  void setStatusCell(int rank, std::shared_ptr<StatusCell> cell) {
    const std::lock_guard lock(mutex_);
    statuses_[static_cast<std::size_t>(rank)] = std::move(cell);
  }

  std::vector<std::optional<RankStatus>> statuses() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::optional<RankStatus>> result(statuses_.size());
    for (std::size_t i = 0; i < statuses_.size(); ++i) {
      if (statuses_[i]) result[i] = statuses_[i]->get();
    }
    return result;
  }

  // The rank's control is being destroyed.
  void end(int rank) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (left_[static_cast<std::size_t>(rank)]) return;
    }
    fail({qcclRemoteError, rank, strCat("rank ", rank, " ended its membership without leaving: its thread failed or gave up")});
  }

 private:
  static std::vector<int> membersOf(const std::vector<bool>& flags, bool value) {
    std::vector<int> ranks;
    for (std::size_t i = 0; i < flags.size(); ++i) {
      if (flags[i] == value) ranks.push_back(static_cast<int>(i));
    }
    return ranks;
  }
  static std::vector<int> missing(const std::vector<bool>& flags) { return membersOf(flags, false); }
  static std::vector<int> missing(const std::vector<bool>& flags, int but) {
    std::vector<int> ranks = missing(flags);
    std::erase(ranks, but);
    return ranks;
  }
  bool someoneLeft() const { return !membersOf(left_, true).empty(); }

  const int size_;
  std::atomic<bool> failed_{false};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Failure failure_;
  std::vector<bool> left_;
  std::vector<bool> arrived_;
  std::vector<std::string> texts_;
  std::vector<std::shared_ptr<StatusCell>> statuses_;
  std::uint64_t round_ = 0;
  std::shared_ptr<const std::vector<std::string>> result_;
};

namespace {

class InprocControl final : public Control {
 public:
  InprocControl(std::shared_ptr<InprocGroup> group, int rank) : group_(std::move(group)), rank_(rank) {
    group_->setStatusCell(rank, status_);
  }
  ~InprocControl() override { group_->end(rank_); }

  int rank() const override { return rank_; }
  int size() const override { return group_->size(); }
  std::vector<std::string> allGather(const std::string& mine, Deadline deadline) override {
    return group_->allGather(rank_, mine, deadline);
  }
  void fail(const Failure& failure) noexcept override { group_->fail(failure); }
  bool failed() const noexcept override { return group_->failed(); }
  Failure failure() const override { return group_->failure(); }
  std::vector<std::optional<RankStatus>> askStatuses(Deadline) override { return group_->statuses(); }
  void leave(Deadline) override { group_->leave(rank_); }

 private:
  const std::shared_ptr<InprocGroup> group_;
  const int rank_;
};

}  // namespace

std::shared_ptr<InprocGroup> makeInprocGroup(int size) { return std::make_shared<InprocGroup>(size); }

std::unique_ptr<Control> makeInprocControl(std::shared_ptr<InprocGroup> group, int rank) {
  QCCL_CHECK(rank >= 0 && rank < group->size());
  return std::make_unique<InprocControl>(std::move(group), rank);
}

}  // namespace qccl::transport
