#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <tuple>

#include "collectives/cuda/device_failure.hpp"
#include "collectives/cuda/device_plan.hpp"
#include "collectives/cuda/kernel_call.hpp"
#include "collectives/cuda/peer_calls.hpp"
#include "core/error.hpp"
#include "core/types.hpp"
#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"
#include "device/cuda/memory.hpp"
#include "device/cuda/stream.hpp"
#include "transport/cuda_ipc/peer_memory.hpp"

namespace qccl::collectives::cuda {
namespace {

static_assert(sizeof(DeviceCounts) == sizeof(quant::EncodeCounts));

std::uint32_t alignedSlot(std::size_t bytes) { return static_cast<std::uint32_t>(quant::alignUp(bytes, 128)); }

class CudaDeviceCalls final : public DeviceCalls {
 public:
  CudaDeviceCalls(transport::Control& control, const std::vector<int>& hosts, int device, const DeviceCallOptions& options)
      : control_(control),
        options_(options),
        memory_(control, hosts, device, kArenaBytes, kArenaHeadBytes, Deadline::in(options.timeout)),
        guard_(std::in_place, device),
        counts_(sizeof(quant::EncodeCounts)),
        watch_(control, options) {
    device::cuda::Stream stream;
    device::cuda::fillAsync(counts_.data(), 0, counts_.bytes(), stream.handle());
    stream.synchronize();
    QCCL_CUDA_CHECK(cudaEventCreateWithFlags(&launched_, cudaEventDisableTiming));
    if (memory_.ranksPerDevice() > 1) loadKernels();
    guard_.reset();
    control.allGather("", Deadline::in(options.timeout));  // no rank launches before all are here
  }

  ~CudaDeviceCalls() override {
    // Ends what still runs; then nothing of this rank uses what is freed below. What the other ranks still write is known only after
    // leave().
    watch_.abort();
    if (!left_) memory_.abandon();
    try {
      const device::cuda::DeviceGuard guard(memory_.device());
      waitForCalls(Deadline::in(std::chrono::seconds(5)));
      (void)cudaEventDestroy(launched_);
    } catch (const Error&) {
      // The device is lost, and with it all of this.
    }
  }

  void launch(const DeviceExecution& execution) override {
    const std::lock_guard lock(mutex_);
    const device::cuda::DeviceGuard guard(memory_.device());
    prepare(execution);
    prepared_.call.input = static_cast<const unsigned char*>(execution.call.input);
    prepared_.call.output = static_cast<unsigned char*>(execution.call.output);
    const StreamHandle stream = execution.call.stream;
    const bool capturing = isCapturing(stream);
    // The calls of a communicator run one after another, whatever their streams. What is captured, its graph orders.
    if (!capturing && used_ && stream != lastStream_) QCCL_CUDA_CHECK(cudaStreamWaitEvent(stream, launched_, 0));
    void* arguments[] = {&prepared_.call};
    QCCL_CUDA_CHECK(cudaLaunchKernel(prepared_.function, dim3(prepared_.threadBlocks), dim3(kScheduleThreads), arguments,
                                     prepared_.sharedBytes, stream));
    captured_ |= capturing;
    if (capturing) return;
    QCCL_CUDA_CHECK(cudaEventRecord(launched_, stream));
    lastStream_ = stream;
    used_ = true;
  }

  void exchange(std::span<const PointToPoint>) override {
    fail(qcclInternalError, "defect in qccl: sends and receives of GPU memory go to NCCL");
  }

  void orderAfter(device::StreamHandle stream) override {
    const std::lock_guard lock(mutex_);
    if (used_ && stream != lastStream_ && !isCapturing(stream)) QCCL_CUDA_CHECK(cudaStreamWaitEvent(stream, launched_, 0));
  }

  const char* path() const override { return "peer"; }

  DeviceCounts counts() override {
    DeviceCounts counts;
    const std::lock_guard lock(mutex_);
    const device::cuda::DeviceGuard guard(memory_.device());
    device::cuda::Stream stream;  // does not wait for the caller's streams
    device::cuda::copyAsync(&counts, counts_.data(), sizeof(counts), stream.handle());
    stream.synchronize();
    return counts;
  }

  void leave() override {
    const device::cuda::DeviceGuard guard(memory_.device());
    if (!waitForCalls(Deadline::in(options_.timeout))) {
      fail(qcclTimeout, "rank ", control_.rank(), ": calls on GPU memory have not ended after ", options_.timeout.count(),
           " ms (QCCL_TIMEOUT_MS)");
    }
    control_.allGather("", Deadline::in(options_.timeout));
    left_ = true;
  }

 private:
  using StreamHandle = device::StreamHandle;
  static constexpr int kMaxSharedBytes = kSharedBuffers * (16 << 10);  // a tile of values as they are

  // A launch but for its buffers.
  struct Prepared {
    KernelCall call{};
    const void* function = nullptr;
    std::uint32_t threadBlocks = 0;
    std::uint32_t sharedBytes = 0;
  };

  // Most calls are like the one before.
  void prepare(const DeviceExecution& execution) {
    if (prepared_.function != nullptr && announce(execution.call, 0) == prepared_.call.announcement) return;
    prepared_.function = nullptr;  // whatever throws below
    const ScheduleKernel kernel = kernelOf(execution.call);
    prepared_.call = makeCall(execution, kernel);
    prepared_.sharedBytes = kSharedBuffers * prepared_.call.slotBytes;
    prepared_.threadBlocks = threadBlocks(residentBlocks(kernel, prepared_.sharedBytes), prepared_.call);
    prepared_.function = kernel.function;
  }

  static ScheduleKernel kernelOf(const Call& call) {
    return scheduleKernel(call.quant.codec, call.dtype, call.quant.codec != qcclCodecNone && call.quant.rounding == qcclRoundStochastic);
  }

  // Loading a kernel and setting its attributes may wait for what runs on the GPU. Where ranks share one as threads, that could be the
  // kernel of a rank which waits for this rank: so all of it is done before the first call.
  void loadKernels() {
    for (int codec = qcclCodecNone; codec < qcclNumCodecs; ++codec) {
      for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
        for (const bool stochastic : {false, true}) {
          makeReady(scheduleKernel(static_cast<qcclCodec_t>(codec), dtype, stochastic).function);
        }
      }
    }
  }

  void makeReady(const void* kernel) {
    if (!ready_.insert(kernel).second) return;
    QCCL_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kMaxSharedBytes));
  }

  static bool isCapturing(StreamHandle stream) {
    cudaStreamCaptureStatus status;
    QCCL_CUDA_CHECK(cudaStreamIsCapturing(stream, &status));
    return status != cudaStreamCaptureStatusNone;
  }

  bool waitForCalls(Deadline deadline) {
    // Nobody says which replays of a graph still run. Every wait of a kernel is bounded, and so is this.
    if (captured_) QCCL_CUDA_CHECK(cudaDeviceSynchronize());
    while (used_) {
      const cudaError_t status = cudaEventQuery(launched_);
      if (status == cudaSuccess) return true;
      if (status != cudaErrorNotReady) QCCL_CUDA_CHECK(status);
      if (deadline.passed()) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    return true;
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

  KernelCall makeCall(const DeviceExecution& execution, const ScheduleKernel& kernel) {
    const Call& call = execution.call;
    const DevicePlan& plan = planOf(execution);
    const bool exact = call.quant.codec == qcclCodecNone;
    KernelCall result{};
    std::copy(memory_.arenas().begin(), memory_.arenas().end(), result.arenas);
    result.host = watch_.words();
    result.counts = reinterpret_cast<quant::EncodeCounts*>(counts_.data());
    result.inputFirstElem = execution.inputFirstElem;
    result.outputFirstElem = execution.outputFirstElem;
    for (int i = 0; i < execution.partition.chunks(); ++i) result.chunks[i] = execution.partition.chunk(i);
    result.tiles = static_cast<std::uint32_t>(quant::divideUp(execution.partition.maxChunkElems(), kernel.tileElems));
    result.announcement = announce(call, 0);
    result.fingerprint = fingerprint(result.announcement);
    result.timeoutNs = static_cast<std::uint64_t>(std::chrono::nanoseconds(options_.timeout).count());
    std::size_t messageBytes = kernel.tileElems * typeSize(call.dtype);
    if (!exact) {
      const quant::PackedFormat format = call.quant.format();
      result.layout = quant::cuda::layoutOf(kernel.tileElems, format);
      layOutTails(execution.partition, kernel.tileElems, format, &result);
      messageBytes = quant::packedBytes(kernel.tileElems, format);
    }
    result.seed = call.quant.seed;
    result.rank = static_cast<std::uint32_t>(control_.rank());
    result.ranks = static_cast<std::uint32_t>(control_.size());
    result.slotBytes = alignedSlot(messageBytes);
    result.receivedSlots = plan.receivedSlots;
    layOut(&result);
    result.lookahead = result.ring >= 2 && plan.firstWait > 0 ? 1 : 0;
    result.senders = plan.senders;
    result.receivers = plan.receivers;
    result.divide = call.op == qcclAvg;
    result.steps = static_cast<std::uint32_t>(plan.steps.size());
    result.firstWait = plan.firstWait;
    std::copy(plan.steps.begin(), plan.steps.end(), result.step);
    return result;
  }

  static void layOutTails(const Partition& partition, std::uint32_t tileElems, const quant::PackedFormat& format, KernelCall* call) {
    int tails = 0;
    for (int i = 0; i < partition.chunks(); ++i) {
      const std::size_t elems = partition.chunk(i).elems % tileElems;
      int tail = 0;
      while (tail < tails && call->tails[tail].elems != elems) ++tail;
      QCCL_CHECK(tail < kMaxTails);
      if (tail == tails) call->tails[tails++] = quant::cuda::layoutOf(elems, format);
      call->tailOf[i] = static_cast<std::uint8_t>(tail);
    }
  }

  // As many tiles as fit into one region, but two at least.
  static void layOut(KernelCall* call) {
    const std::uint32_t tileBytes = call->slotBytes * call->receivedSlots;
    call->ring = std::min(std::max(std::bit_floor(kRegionBytes / tileBytes), 2u), kMaxRing);
    call->regionsABlock = static_cast<std::uint32_t>(quant::divideUp(std::size_t{call->ring} * tileBytes, kRegionBytes));
  }

  // Thread blocks that a multiprocessor holds at a time.
  int residentBlocks(const ScheduleKernel& kernel, std::uint32_t sharedBytes) {
    const auto known = resident_.find({kernel.function, sharedBytes});
    if (known != resident_.end()) return known->second;
    int blocks = 0;
    makeReady(kernel.function);
    QCCL_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel.function, kScheduleThreads, sharedBytes));
    return resident_[{kernel.function, sharedBytes}] = std::max(blocks, 1);
  }

  // All thread blocks of all ranks on a GPU must fit at the same time: they wait for one another. The same number on every rank.
  std::uint32_t threadBlocks(int resident, const KernelCall& call) const {
    const int onDevice = resident * memory_.multiprocessors() / memory_.ranksPerDevice();
    std::uint32_t blocks = std::min({static_cast<std::uint32_t>(std::max(onDevice, 1)), kMaxThreadBlocks / call.regionsABlock, call.tiles});
    if (options_.threadBlocks > 0) blocks = std::min(blocks, static_cast<std::uint32_t>(options_.threadBlocks));
    return std::max(blocks, 1u);
  }

  transport::Control& control_;
  const DeviceCallOptions options_;
  transport::PeerMemory memory_;
  std::optional<device::cuda::DeviceGuard> guard_;  // while the members below are made
  device::cuda::DeviceBuffer counts_;
  DeviceFailureWatch watch_;
  std::mutex mutex_;
  Prepared prepared_;
  std::map<std::tuple<qcclColl_t, qcclAlgo_t, int, int>, DevicePlan> plans_;
  std::set<const void*> ready_;
  std::map<std::pair<const void*, std::uint32_t>, int> resident_;
  cudaEvent_t launched_ = nullptr;  // after the last call
  StreamHandle lastStream_ = nullptr;
  bool used_ = false;      // launched_ was recorded
  bool captured_ = false;  // there are graphs with calls
  bool left_ = false;
};

}  // namespace

std::unique_ptr<DeviceCalls> makePeerCalls(transport::Control& control, const std::vector<int>& hosts, int device,
                                           const DeviceCallOptions& options) {
  if (control.size() > static_cast<int>(kMaxRanks)) {
    fail(qcclInvalidUsage, "a communicator of ", control.size(), " ranks cannot be used over peer memory; at most ", kMaxRanks,
         " ranks can");
  }
  return std::make_unique<CudaDeviceCalls>(control, hosts, device, options);
}

}  // namespace qccl::collectives::cuda
