#include "collectives/cuda/nccl_calls.hpp"

#include <mutex>
#include <optional>

#include "collectives/cuda/call_watch.hpp"
#include "collectives/cuda/last_call.hpp"
#include "collectives/cuda/nccl_carrier.hpp"
#include "core/error.hpp"
#include "core/types.hpp"
#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"
#include "transport/nccl/nccl_comm.hpp"

namespace qccl::collectives::cuda {
namespace {

using device::StreamHandle;
using device::cuda::DeviceGuard;

// Where nothing is added or decoded, NCCL's bits are the host's.
bool goesToNccl(const Call& call) {
  if (call.coll == qcclCollAllGather) return call.inputPacked == call.outputPacked;
  return isOnlyNccls(call) || call.coll == qcclCollBroadcast;
}

// Sends and receives as a call, for the sentence about one that does not end.
Announcement announceExchange(std::span<const PointToPoint> operations) {
  Call call;
  call.coll = qcclCollSendRecv;
  call.dtype = qcclInt8;
  for (const PointToPoint& operation : operations) call.count += operation.bytes;
  return announce(call, 0);
}

class NcclCalls final : public DeviceCalls {
 public:
  NcclCalls(transport::Control& control, const std::vector<int>& hosts, int device, const DeviceCallOptions& options)
      : control_(control),
        options_(options),
        comm_(control, hosts, device, options.ncclLibrary, options.timeout),
        guard_(std::in_place, device),
        watch_(
            control, options, [this] { comm_.abort(); }, [this] { return comm_.failure(); }),
        carrier_(comm_, control.rank(), control.size(), options.ncclTileBytes) {
    guard_.reset();
    control.allGather("", Deadline::in(options.timeout));  // no rank enqueues before all are here
  }

  ~NcclCalls() override {
    // Ends what still runs; then nothing uses what is freed below.
    if (!left_) comm_.abort();
    try {
      const DeviceGuard guard(comm_.device());
      if (!watch_.waitForCalls(Deadline::in(std::chrono::seconds(5)))) carrier_.abandon();
    } catch (const Error&) {
      carrier_.abandon();  // the device is lost, and with it all of this
    }
  }

  void launch(const DeviceExecution& execution) override {
    const std::lock_guard lock(mutex_);
    const DeviceGuard guard(comm_.device());
    const Call& call = execution.call;
    const std::uint64_t sequence = ++collectives_;
    if (call.count == 0) return;  // and that is so on every rank
    const bool captured = isCapturing(call.stream);
    watched(announce(call, 0), call.stream, captured, [&] {
      if (goesToNccl(call)) {
        marked(call.stream, captured, [&] { launchNccls(call); });
      } else {
        carrier_.run(execution, sequence, captured ? std::optional(mark()) : std::nullopt);
      }
    });
  }

  void exchange(std::span<const PointToPoint> operations) override {
    const std::lock_guard lock(mutex_);
    const DeviceGuard guard(comm_.device());
    const StreamHandle stream = operations.front().stream;
    const bool captured = isCapturing(stream);
    watched(announceExchange(operations), stream, captured, [&] {
      marked(stream, captured, [&] {
        comm_.group([&] {
          for (const PointToPoint& operation : operations) {
            if (operation.isSend) {
              comm_.send(operation.buffer, operation.bytes, operation.peer, operation.stream);
            } else {
              comm_.receive(operation.buffer, operation.bytes, operation.peer, operation.stream);
            }
          }
        });
      });
    });
  }

  void orderAfter(StreamHandle stream) override {
    const DeviceGuard guard(comm_.device());
    if (!isCapturing(stream)) watch_.orderAfter(stream);
  }

  const char* path() const override { return "nccl"; }
  bool canUseNccl() const override { return true; }

  DeviceCounts counts() override {
    const DeviceGuard guard(comm_.device());
    return carrier_.counts();
  }

  void leave() override {
    const DeviceGuard guard(comm_.device());
    if (!watch_.waitForCalls(Deadline::in(options_.timeout))) {
      fail(qcclTimeout, "rank ", control_.rank(), ": calls over NCCL have not ended after ", options_.timeout.count(),
           " ms (QCCL_TIMEOUT_MS)");
    }
    control_.allGather("", Deadline::in(options_.timeout));
    left_ = true;
    comm_.left();
  }

 private:
  NcclCarrier::Mark mark() { return {watch_.marker(), watch_.captured()}; }

  // Enqueues by body(), with the watch around it. What NCCL says when the watch has ended it is not the reason.
  template <typename Body>
  void watched(Announcement what, StreamHandle stream, bool captured, Body body) {
    what.sequence = static_cast<std::uint32_t>(++calls_);
    try {
      watch_.begin(what, stream, captured);
      body();
      watch_.end(stream);
    } catch (const Error&) {
      watch_.cancel();
      control_.throwIfFailed();
      throw;
    }
  }

  template <typename Body>
  void marked(StreamHandle stream, bool captured, Body body) {
    if (captured) watch_.marker().begin(watch_.captured(), stream);
    body();
    if (captured) watch_.marker().end(watch_.captured(), stream);
  }

  void launchNccls(const Call& call) {
    switch (call.coll) {
      case qcclCollAllReduce:
        return comm_.allReduce(call.input, call.output, call.count, call.dtype, call.op, call.stream);
      case qcclCollReduceScatter:
        return comm_.reduceScatter(call.input, call.output, call.count, call.dtype, call.op, call.stream);
      case qcclCollAllGather:
        if (call.inputPacked) {
          const std::size_t bytes = quant::packedBytes(call.count, call.quant.format());
          return comm_.allGather(call.input, call.output, bytes, qcclUint8, call.stream);
        }
        return comm_.allGather(call.input, call.output, call.count, call.dtype, call.stream);
      case qcclCollBroadcast:
        return comm_.broadcast(call.input, call.output, call.count, call.dtype, call.root, call.stream);
      case qcclCollReduce:
        return comm_.reduce(call.input, call.output, call.count, call.dtype, call.op, call.root, call.stream);
      default:
        fail(qcclInternalError, "defect in qccl: collective ", static_cast<int>(call.coll), " is not one of NCCL's");
    }
  }

  transport::Control& control_;
  const DeviceCallOptions options_;
  transport::NcclComm comm_;
  std::optional<DeviceGuard> guard_;  // while the members below are made
  CallWatch watch_;
  NcclCarrier carrier_;
  std::mutex mutex_;
  std::uint64_t collectives_ = 0;  // as the host numbers its calls
  std::uint64_t calls_ = 0;        // these and groups of sends and receives
  bool left_ = false;
};

}  // namespace

bool isOnlyNccls(const Call& call) { return call.quant.algorithm == qcclAlgoNccl || !hasDeviceKernels(call.coll, call.dtype, call.op); }

std::unique_ptr<DeviceCalls> makeNcclCalls(transport::Control& control, const std::vector<int>& hosts, int device,
                                           const DeviceCallOptions& options) {
  return std::make_unique<NcclCalls>(control, hosts, device, options);
}

}  // namespace qccl::collectives::cuda
