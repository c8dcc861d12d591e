#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <tuple>

#include "collectives/cuda/call_launch.hpp"
#include "collectives/cuda/device_failure.hpp"
#include "collectives/cuda/last_call.hpp"
#include "collectives/cuda/peer_calls.hpp"
#include "core/error.hpp"
#include "core/types.hpp"
#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"
#include "device/cuda/memory.hpp"
#include "device/cuda/stream.hpp"

namespace qccl::collectives::cuda {
namespace {

static_assert(sizeof(DeviceCounts) == sizeof(quant::EncodeCounts));

class CudaDeviceCalls final : public DeviceCalls {
 public:
  CudaDeviceCalls(std::unique_ptr<transport::PeerMemory> memory, transport::Control& control, const DeviceCallOptions& options)
      : control_(control),
        options_(options),
        memory_(std::move(memory)),
        guard_(std::in_place, memory_->device()),
        counts_(sizeof(quant::EncodeCounts)),
        state_(sizeof(CallState)),
        watch_(control, options) {
    device::cuda::Stream stream;
    device::cuda::fillAsync(counts_.data(), 0, counts_.bytes(), stream.handle());
    device::cuda::fillAsync(state_.data(), 0, state_.bytes(), stream.handle());
    stream.synchronize();
    if (memory_->ranksPerDevice() > 1) loadKernels();
    guard_.reset();
    control.allGather("", Deadline::in(options.timeout));  // no rank launches before all are here
  }

  ~CudaDeviceCalls() override {
    // Ends what still runs; then nothing of this rank uses what is freed below. What the other ranks still write is known only after
    // leave().
    watch_.abort();
    if (!left_) memory_->abandon();
    try {
      const device::cuda::DeviceGuard guard(memory_->device());
      waitForCalls(Deadline::in(std::chrono::seconds(5)));
    } catch (const Error&) {
      // The device is lost, and with it all of this.
    }
  }

  void launch(const DeviceExecution& execution) override {
    const std::lock_guard lock(mutex_);
    const device::cuda::DeviceGuard guard(memory_->device());
    prepare(execution);
    setBuffers(&prepared_, execution.call.input, execution.call.output);
    const StreamHandle stream = execution.call.stream;
    const bool capturing = isCapturing(stream);
    // The calls of a communicator run one after another, whatever their streams. What is captured, its graph orders.
    if (!capturing) last_.orderBefore(stream);
    void* parameters[] = {&prepared_.arguments()};
    QCCL_CUDA_CHECK(cudaLaunchKernel(prepared_.function, dim3(prepared_.threadBlocks), dim3(prepared_.threads), parameters,
                                     prepared_.sharedBytes, stream));
    captured_ |= capturing;
    if (!capturing) last_.record(stream);
  }

  void exchange(std::span<const PointToPoint>) override {
    fail(qcclInternalError, "defect in qccl: sends and receives of GPU memory go to NCCL");
  }

  void orderAfter(device::StreamHandle stream) override {
    const std::lock_guard lock(mutex_);
    if (!isCapturing(stream)) last_.orderBefore(stream);
  }

  const char* path() const override { return inHostMemory() ? "host" : "peer"; }
  bool canUseNccl() const override { return false; }

  DeviceCounts counts() override {
    DeviceCounts counts;
    const std::lock_guard lock(mutex_);
    const device::cuda::DeviceGuard guard(memory_->device());
    device::cuda::Stream stream;  // does not wait for the caller's streams
    device::cuda::copyAsync(&counts, counts_.data(), sizeof(counts), stream.handle());
    stream.synchronize();
    return counts;
  }

  void leave() override {
    const device::cuda::DeviceGuard guard(memory_->device());
    if (!waitForCalls(Deadline::in(options_.timeout))) {
      fail(qcclTimeout, "rank ", control_.rank(), ": calls on GPU memory have not ended after ", options_.timeout.count(),
           " ms (QCCL_TIMEOUT_MS)");
    }
    control_.allGather("", Deadline::in(options_.timeout));
    left_ = true;
  }

 private:
  using StreamHandle = device::StreamHandle;

  bool inHostMemory() const { return memory_->kind() == transport::PeerMemory::Kind::host; }

  // Most calls are like the one before.
  void prepare(const DeviceExecution& execution) {
    if (prepared_.function != nullptr && announce(execution.call, 0) == prepared_.arguments().announcement) return;
    prepared_.function = nullptr;  // whatever throws below
    prepared_ =
        makeLaunch(execution, commonArguments(execution.call), gpuShare(), [&]() -> const DevicePlan& { return planOf(execution); });
  }

  // Loading a kernel and setting its attributes may wait for what runs on the GPU. Where ranks share one as threads, that could be the
  // kernel of a rank which waits for this rank: so all of it is done before the first call.
  void loadKernels() {
    forEachKernel([this](const CallKernel& kernel) { makeReady(kernel.function); });
  }

  void makeReady(const void* kernel) {
    if (kernel == nullptr || !ready_.insert(kernel).second) return;
    QCCL_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMaxSharedBytes));
  }

  bool waitForCalls(Deadline deadline) {
    // Nobody says which replays of a graph still run. Every wait of a kernel is bounded, and so is this.
    if (captured_) QCCL_CUDA_CHECK(cudaDeviceSynchronize());
    return last_.wait(deadline);
  }

  const DevicePlan& planOf(const DeviceExecution& execution) {
    const Call& call = execution.call;
    const std::tuple key{call.coll, call.quant.algorithm, call.root, call.quant.ranksPerHost};
    const auto known = plans_.find(key);
    if (known != plans_.end()) return known->second;
    std::vector<Schedule> schedules;
    for (int rank = 0; rank < control_.size(); ++rank) schedules.push_back(execution.scheduleOf(rank));
    return plans_.emplace(key, makeDevicePlan(schedules, control_.rank())).first->second;
  }

  DeviceCall commonArguments(const Call& call) {
    DeviceCall result{};
    std::copy(memory_->arenas().begin(), memory_->arenas().end(), result.arenas);
    result.state = reinterpret_cast<CallState*>(state_.data());
    result.host = watch_.words();
    result.counts = reinterpret_cast<quant::EncodeCounts*>(counts_.data());
    result.announcement = announce(call, 0);
    result.fingerprint = fingerprint(result.announcement);
    result.timeoutNs = static_cast<std::uint64_t>(std::chrono::nanoseconds(options_.timeout).count());
    result.seed = call.quant.seed;
    result.rank = static_cast<std::uint32_t>(control_.rank());
    result.ranks = static_cast<std::uint32_t>(control_.size());
    result.divide = call.op == qcclAvg;
    return result;
  }

  GpuShare gpuShare() {
    return {memory_->multiprocessors(), memory_->ranksPerDevice(), options_.threadBlocks, inHostMemory(),
            [this](const void* function, std::uint32_t threads, std::uint32_t sharedBytes) {
              return residentBlocks(function, threads, sharedBytes);
            }};
  }

  // Thread blocks that a multiprocessor holds at a time.
  int residentBlocks(const void* function, std::uint32_t threads, std::uint32_t sharedBytes) {
    const auto known = resident_.find({function, sharedBytes});
    if (known != resident_.end()) return known->second;
    int blocks = 0;
    makeReady(function);
    QCCL_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, static_cast<int>(threads), sharedBytes));
    return resident_[{function, sharedBytes}] = blocks;
  }

  transport::Control& control_;
  const DeviceCallOptions options_;
  const std::unique_ptr<transport::PeerMemory> memory_;
  std::optional<device::cuda::DeviceGuard> guard_;  // while the members below are made
  device::cuda::DeviceBuffer counts_;
  device::cuda::DeviceBuffer state_;
  DeviceFailureWatch watch_;
  std::mutex mutex_;
  CallLaunch prepared_;  // of the last kind of call
  std::map<std::tuple<qcclColl_t, qcclAlgo_t, int, int>, DevicePlan> plans_;
  std::set<const void*> ready_;
  std::map<std::pair<const void*, std::uint32_t>, int> resident_;
  LastCall last_;
  bool captured_ = false;  // there are graphs with calls
  bool left_ = false;
};

}  // namespace

std::unique_ptr<DeviceCalls> makePeerCalls(transport::PeerMemory::Kind kind, transport::Control& control, const std::vector<int>& hosts,
                                           int device, const DeviceCallOptions& options) {
  if (control.size() > static_cast<int>(kMaxRanks)) {
    fail(qcclInvalidUsage, "a communicator of ", control.size(), " ranks cannot be used over memory that all of them have mapped; at most ",
         kMaxRanks, " ranks can");
  }
  const Deadline deadline = Deadline::in(options.timeout);
  auto memory =
      kind == transport::PeerMemory::Kind::host
          ? transport::shareHostMemory(control, hosts, device, kHostArenaBytes, deadline)
          : transport::shareGpuMemory(control, hosts, device, kArenaBytes, {{kWarpSlotsOffset, 0}, {kWarpSlotsBytes, kAbsent}}, deadline);
  return std::make_unique<CudaDeviceCalls>(std::move(memory), control, options);
}

}  // namespace qccl::collectives::cuda
