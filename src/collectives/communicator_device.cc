// A communicator's calls on GPU memory.
#include "collectives/communicator.hpp"
#include "core/error.hpp"
#include "core/types.hpp"
#include "quant/device_codec.hpp"

namespace qccl::collectives {

namespace {

// The sends and receives of a single rank.
void copyToItself(const std::vector<PointToPoint>& operations) {
  std::vector<PointToPoint> sends, receives;
  for (const PointToPoint& operation : operations) (operation.isSend ? sends : receives).push_back(operation);
  if (sends.size() != receives.size()) {
    fail(qcclInvalidUsage, "the only rank has ", sends.size(), " sends and ", receives.size(),
         " receives with itself in one group; each needs its partner there");
  }
  for (std::size_t i = 0; i < sends.size(); ++i) {
    if (sends[i].bytes != receives[i].bytes || sends[i].stream != receives[i].stream) {
      fail(qcclInvalidUsage, "the only rank sends ", sends[i].bytes, " bytes to itself but receives ", receives[i].bytes,
           "; a send and its receive need the same size and stream");
    }
    Call copy;
    copy.input = sends[i].buffer;
    copy.output = receives[i].buffer;
    copy.device = receives[i].device;
    copy.stream = receives[i].stream;
    copyOnDevice(copy, sends[i].bytes);
  }
}

}  // namespace

// The one place that says how calls on GPU memory go. Before the first of them only the settings are known, alike on every rank.
Situation Communicator::situation(bool onDevice) const {
  Situation result(layout_, options_.tuning);
  if (!onDevice) return result;
  const std::lock_guard lock(deviceMutex_);
  const std::string path = deviceCalls_ ? deviceCalls_->path() : options_.gpuPath;
  result.devicePath = path == "nccl" ? RankPath::nccl : path == "host" ? RankPath::host : RankPath::peer;
  result.canUseNccl = deviceCalls_ && deviceCalls_->canUseNccl();
  return result;
}

qcclTuningKey_t Communicator::tuningKey(bool onDevice) const {
  const Situation where = situation(onDevice);
  const RankLayout layout = where.layout(options_.quant.quant);
  return {pathName(where.path(layout)), layout.size, layout.ranksPerHost};
}

DeviceCalls& Communicator::deviceCallsOn(int device) {
  if (!deviceCalls_) {
    auto made = makeDeviceCalls(*membership_.control, membership_.hosts, device, deviceOptions_);
    const std::lock_guard lock(deviceMutex_);
    deviceCalls_ = std::move(made);
    device_ = device;
  }
  if (device != device_) {
    fail(qcclInvalidUsage, "rank ", rank_, " of ", name(), " made its first call on GPU ", device_, "; this one's buffers are on GPU ",
         device, ". Use one GPU for all calls of a communicator");
  }
  return *deviceCalls_;
}

// What copyOwn() is on the host.
void Communicator::copyOwnOnDevice(const Call& call) {
  if (call.inputPacked && !call.outputPacked) {
    quant::decodeOnDevice({call.device, call.stream}, call.dtype, call.input, call.count, call.quant.format(), call.output);
  } else {
    copyOnDevice(call, call.inputPacked ? quant::packedBytes(call.count, call.quant.format()) : call.count * typeSize(call.dtype));
  }
}

void Communicator::runOnDevice(const Call& call) {
  if (size_ == 1) {
    copyOwnOnDevice(call);
  } else {
    const FirstElems first = firstElems(call);
    deviceCallsOn(call.device)
        .launch({call, [&](int rank) { return scheduleFor(call, rank); }, partitionFor(call), first.input, first.output});
  }
  // Most calls are like the one before.
  if (const Announcement announcement = announce(call, 0); announcement != lastDeviceCall_) {
    lastDeviceStats_ = deviceCallStatistics(call);
    lastDeviceCall_ = announcement;
  }
  statistics_.add(lastDeviceStats_);
}

void Communicator::exchangeOnDevice(std::span<const PointToPoint> operations) {
  std::vector<PointToPoint> onDevice, onHost;
  for (const PointToPoint& operation : operations) (operation.onDevice() ? onDevice : onHost).push_back(operation);
  if (size_ > 1) {
    DeviceCalls* calls = nullptr;
    for (const PointToPoint& operation : onDevice) calls = &deviceCallsOn(operation.device);
    calls->exchange(onDevice);
  } else {
    copyToItself(onDevice);
  }
  if (!onHost.empty()) exchange(onHost);
}

// What is known of a call on GPU memory before it runs.
qcclStats_t Communicator::deviceCallStatistics(const Call& call) const {
  qcclStats_t stats = statisticsOf(call);
  if (size_ == 1) return stats;
  const PlannedBytes bytes = plannedBytes(call);
  stats.wireBytes = bytes.wire;
  stats.exactWireBytes = bytes.exact;
  if (call.quant.codec != qcclCodecNone) {
    stats.quantizedCalls = 1;
    stats.quantizedElems = stats.elems;
  }
  return stats;
}

qcclStats_t Communicator::totalStatistics() {
  qcclStats_t total = statistics_.total();
  const std::lock_guard lock(deviceMutex_);
  if (!deviceCalls_) return total;
  const DeviceCounts counts = deviceCalls_->counts();
  total.encodedBlocks += counts.blocks;
  total.nonFiniteBlocks += counts.nonFiniteBlocks;
  total.sampledElems += counts.sampledElems;
  total.saturatedElems += counts.saturatedElems;
  total.flushedElems += counts.flushedElems;
  return total;
}

}  // namespace qccl::collectives
