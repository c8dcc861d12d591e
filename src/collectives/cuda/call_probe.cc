#include "collectives/cuda/call_probe.hpp"

#include "core/error.hpp"
#include "device/cuda/check.cuh"
#include "device/cuda/stream.hpp"
#include "transport/tcp/background_thread.hpp"

namespace qccl::collectives::cuda {
namespace {

constexpr std::chrono::milliseconds kPeriod{5};

int currentDevice() {
  int device = 0;
  QCCL_CUDA_CHECK(cudaGetDevice(&device));
  return device;
}

// For the rest of this thread. A thread in the usual mode spoils what another one captures when it asks for an event.
void useDeviceWhateverIsCaptured(int device) {
  QCCL_CUDA_CHECK(cudaSetDevice(device));
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  QCCL_CUDA_CHECK(cudaThreadExchangeStreamCaptureMode(&mode));
}

}  // namespace

CallProbe::CallProbe() : device_(currentDevice()) {
  thread_ = transport::startBackgroundThread([this] { ask(); });
}

CallProbe::~CallProbe() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  closing_.notify_all();
  thread_.join();
  for (const Marked& call : calls_) free_.insert(free_.end(), {call.begun, call.ended});
  for (CUevent_st* event : free_) (void)cudaEventDestroy(event);
}

void CallProbe::begin(std::uint32_t number, device::StreamHandle stream) {
  enqueued_ = Marked{number, takeEvent(), nullptr};
  enqueued_->ended = takeEvent();
  QCCL_CUDA_CHECK(cudaEventRecord(enqueued_->begun, stream));
}

void CallProbe::end(device::StreamHandle stream) {
  QCCL_CUDA_CHECK(cudaEventRecord(enqueued_->ended, stream));
  // The thread is not woken: that would take longer than all the rest of the call.
  const std::lock_guard lock(mutex_);
  calls_.push_back(*enqueued_);
  enqueued_.reset();
}

void CallProbe::cancel() {
  if (!enqueued_) return;
  const std::lock_guard lock(mutex_);
  free_.push_back(enqueued_->begun);
  if (enqueued_->ended != nullptr) free_.push_back(enqueued_->ended);
  enqueued_.reset();
}

CallProbe::State CallProbe::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

CUevent_st* CallProbe::takeEvent() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      CUevent_st* event = free_.back();
      free_.pop_back();
      return event;
    }
  }
  CUevent_st* event = nullptr;
  QCCL_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return event;
}

void CallProbe::ask() {
  std::unique_lock lock(mutex_);
  try {
    lock.unlock();
    useDeviceWhateverIsCaptured(device_);
    lock.lock();
    while (!ended_) {
      if (!calls_.empty()) {
        const Marked first = calls_.front();
        askFor(first, lock);
        if (state_.ended == first.number) {
          calls_.pop_front();
          free_.insert(free_.end(), {first.begun, first.ended});
          continue;
        }
      }
      closing_.wait_for(lock, kPeriod, [this] { return ended_; });
    }
  } catch (const Error& error) {
    if (!lock.owns_lock()) lock.lock();
    state_.asked.reset();
    state_.error = error.what();
  }
}

void CallProbe::askFor(const Marked& call, std::unique_lock<std::mutex>& lock) {
  state_.asked = Clock::now();
  lock.unlock();
  const bool ended = device::cuda::isReached(call.ended);
  const bool begun = ended || device::cuda::isReached(call.begun);
  lock.lock();
  state_.asked.reset();
  if (begun) state_.begun = call.number;
  if (ended) state_.ended = call.number;
}

}  // namespace qccl::collectives::cuda
