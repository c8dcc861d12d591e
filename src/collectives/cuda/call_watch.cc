#include "collectives/cuda/call_watch.hpp"

#include <atomic>
#include <cstring>
#include <utility>

#include "core/error.hpp"
#include "core/log.hpp"
#include "device/cuda/check.cuh"
#include "transport/tcp/background_thread.hpp"

namespace qccl::collectives::cuda {
namespace {

// How long a failure may go unnoticed.
constexpr std::chrono::milliseconds kPeriod{5};

// Numbers of calls wrap around; none is 2^31 ahead of another.
bool isReached(std::uint32_t last, std::uint32_t number) { return static_cast<std::int32_t>(last - number) >= 0; }

}  // namespace

CallWatch::CallWatch(transport::Control& control, const DeviceCallOptions& options, std::function<void()> abort,
                     std::function<std::string()> failure)
    : control_(control), options_(options), abort_(std::move(abort)), failure_(std::move(failure)) {
  void* memory = nullptr;
  QCCL_CUDA_CHECK(cudaHostAlloc(&memory, sizeof(GraphMarks), cudaHostAllocPortable | cudaHostAllocMapped));
  std::memset(memory, 0, sizeof(GraphMarks));
  marks_ = static_cast<GraphMarks*>(memory);
  marker_.emplace(marks_);
  thread_ = transport::startBackgroundThread([this] { watch(); });
}

CallWatch::~CallWatch() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (control_.failed()) marker_->abandon();  // to free memory would wait for what runs
  (void)cudaFreeHost(marks_);
}

void CallWatch::begin(const Announcement& what, device::StreamHandle stream, bool captured) {
  {
    const std::lock_guard lock(mutex_);
    inside_ = Clock::now();
    insideOf_ = what;
    insideGraph_ = captured;
    if (captured) captured_.push_back(what);
  }
  if (captured) return;  // its graph orders it
  last_.orderBefore(stream);
  probe_.begin(what.sequence, stream);
}

void CallWatch::end(device::StreamHandle stream) {
  if (!insideGraph_) {
    probe_.end(stream);
    last_.record(stream);
  }
  const std::lock_guard lock(mutex_);
  if (!insideGraph_) calls_.push_back(insideOf_);
  inside_.reset();
}

void CallWatch::cancel() {
  probe_.cancel();
  const std::lock_guard lock(mutex_);
  inside_.reset();
}

void CallWatch::orderAfter(device::StreamHandle stream) { last_.orderBefore(stream); }

bool CallWatch::waitForCalls(Deadline deadline) {
  // Nobody says which replays of a graph still run. The watch bounds every call in them, and so this.
  if (!captured_.empty()) QCCL_CUDA_CHECK(cudaDeviceSynchronize());
  return last_.wait(deadline);
}

void CallWatch::watch() {
  std::optional<transport::Failure> failure;
  while (!failure && !control_.failed()) {
    failure = findFailure();
    std::unique_lock lock(mutex_);
    if (!failure && changed_.wait_for(lock, kPeriod, [this] { return ended_; })) return;
  }
  if (failure) {
    log(LogLevel::warn, "rank ", control_.rank(), " of ", options_.name, ": ", failure->what);
    if (!control_.failed()) control_.fail(*failure);
  }
  abort_();
}

std::optional<transport::Failure> CallWatch::findFailure() {
  if (const std::string why = failure_(); !why.empty()) {
    return transport::Failure{qcclRemoteError, control_.rank(), strCat("rank ", control_.rank(), ": NCCL reports an error: ", why)};
  }
  const CallProbe::State state = probe_.state();
  if (!state.error.empty()) {
    return transport::Failure{qcclUnhandledCudaError, control_.rank(), strCat("rank ", control_.rank(), ": ", state.error)};
  }
  const std::lock_guard lock(mutex_);
  return findLate(state);
}

std::optional<transport::Failure> CallWatch::findLate(const CallProbe::State& state) {
  while (!calls_.empty() && isReached(state.ended, calls_.front().sequence)) {
    calls_.pop_front();
    since_.reset();
  }
  if (!calls_.empty() && !since_ && isReached(state.begun, calls_.front().sequence)) since_ = Clock::now();
  if (!calls_.empty() && (isLate(since_) || isLate(state.asked))) return late(calls_.front());
  if (const auto found = findLateGraph()) return found;
  // After those that the device is in: the thread may wait for one of them. If not, it connects ranks, of which one does not come.
  if (isLate(inside_)) return late(insideOf_);
  return std::nullopt;
}

std::optional<transport::Failure> CallWatch::findLateGraph() {
  const GraphMarks::Begin begun = std::atomic_ref(marks_->begun).load();
  if (begun.number == std::atomic_ref(marks_->ended).load()) {
    graphSince_.reset();
  } else if (!graphSince_ || begun.number != graphBegun_) {
    graphBegun_ = begun.number;
    graphSince_ = Clock::now();
  }
  if (isLate(graphSince_) && begun.call < captured_.size()) return late(captured_[begun.call]);
  return std::nullopt;
}

transport::Failure CallWatch::late(const Announcement& what) const {
  const int rank = control_.rank();
  return {qcclTimeout, rank,
          strCat("rank ", rank, " waited ", options_.timeout.count(), " ms in ", describe(what), " over NCCL, call #", what.sequence,
                 " of the communicator there; another rank did not make the call, makes another one, hangs or has ended ",
                 "(QCCL_TIMEOUT_MS sets the bound)")};
}

}  // namespace qccl::collectives::cuda
