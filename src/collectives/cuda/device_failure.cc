#include "collectives/cuda/device_failure.hpp"

#include <cstring>

#include "core/error.hpp"
#include "core/log.hpp"
#include "device/cuda/check.cuh"
#include "transport/tcp/background_thread.hpp"

namespace qccl::collectives::cuda {
namespace {

// How long a failure may go unnoticed.
constexpr std::chrono::milliseconds kPeriod{2};

std::uint32_t read(const std::uint32_t& word) { return std::atomic_ref<std::uint32_t>(const_cast<std::uint32_t&>(word)).load(); }

}  // namespace

DeviceFailureWatch::DeviceFailureWatch(transport::Control& control, const DeviceCallOptions& options)
    : control_(control), options_(options) {
  void* memory = nullptr;
  QCCL_CUDA_CHECK(cudaHostAlloc(&memory, sizeof(HostWords), cudaHostAllocPortable | cudaHostAllocMapped));
  std::memset(memory, 0, sizeof(HostWords));
  words_ = static_cast<HostWords*>(memory);
  thread_ = transport::startBackgroundThread([this] { watch(); });
}

DeviceFailureWatch::~DeviceFailureWatch() {
  ended_ = true;
  thread_.join();
  (void)cudaFreeHost(words_);
}

void DeviceFailureWatch::abort() { std::atomic_ref<std::uint32_t>(words_->abort).store(1); }

void DeviceFailureWatch::watch() {
  while (!ended_) {
    if (read(words_->failure.kind) != FailureRecord::none) {
      report();
      break;
    }
    if (control_.failed()) break;
    std::this_thread::sleep_for(kPeriod);
  }
  if (!ended_) abort();
}

void DeviceFailureWatch::report() const {
  const FailureRecord& failure = words_->failure;
  const int rank = control_.rank();
  try {
    Announcement own = failure.own;
    own.sequence = failure.call + 1;
    if (failure.kind == FailureRecord::mismatch) {
      Announcement theirs = failure.theirs;
      theirs.sequence = own.sequence;
      checkAnnouncement(own, rank, theirs, failure.peer);
    }
    fail(qcclTimeout, "rank ", rank, " waited ", options_.timeout.count(), " ms for rank ", failure.peer, " in ", describe(own),
         " on GPU memory, call #", own.sequence, " of the communicator there; that rank did not make the call, hangs or has ended ",
         "(QCCL_TIMEOUT_MS sets the bound)");
  } catch (const Error& error) {
    log(LogLevel::warn, "rank ", rank, " of ", options_.name, ": ", error.what());
    if (!control_.failed()) control_.fail({error.code(), rank, error.what()});
  }
}

}  // namespace qccl::collectives::cuda
