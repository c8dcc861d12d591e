// A communicator's calls on GPU memory.
#include "collectives/communicator.hpp"
#include "core/types.hpp"

namespace qccl::collectives {

// The one place that says how calls on GPU memory go: known on every rank alike, before the first of them.
Situation Communicator::situation(bool onDevice) const {
  Situation result(layout_, options_.tuning);
  if (onDevice) {
    result.devicePath = RankPath::peer;
    result.canUseNccl = false;
  }
  return result;
}

qcclTuningKey_t Communicator::tuningKey(bool onDevice) const {
  const Situation where = situation(onDevice);
  const RankLayout layout = where.layout(options_.quant.quant);
  return {pathName(where.path(layout)), layout.size, layout.ranksPerHost};
}

DeviceCalls& Communicator::deviceCallsFor(const Call& call) {
  if (!deviceCalls_) {
    const DeviceCallOptions options{name(), options_.executor.timeout, options_.threadBlocks};
    auto made = makeDeviceCalls(*membership_.control, membership_.hosts, call.device, options);
    const std::lock_guard lock(deviceMutex_);
    deviceCalls_ = std::move(made);
    device_ = call.device;
  }
  if (call.device != device_) {
    fail(qcclInvalidUsage, "rank ", rank_, " of ", name(), " made its first call on GPU ", device_, "; this one's buffers are on GPU ",
         call.device, ". Use one GPU for all calls of a communicator");
  }
  return *deviceCalls_;
}

void Communicator::runOnDevice(const Call& call) {
  if (size_ == 1) {
    copyOnDevice(call, call.count * typeSize(call.dtype));
  } else {
    const FirstElems first = firstElems(call);
    deviceCallsFor(call).launch({call, [&](int rank) { return scheduleFor(call, rank); }, partitionFor(call), first.input, first.output});
  }
  // Most calls are like the one before.
  if (const Announcement announcement = announce(call, 0); announcement != lastDeviceCall_) {
    lastDeviceStats_ = deviceCallStatistics(call);
    lastDeviceCall_ = announcement;
  }
  statistics_.add(lastDeviceStats_);
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
