// Which carrier of calls on GPU memory does what: memory that all ranks have mapped, the GPUs' or the host's, where there is such, and the
// real NCCL.
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "collectives/cuda/nccl_calls.hpp"
#include "collectives/cuda/peer_calls.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "core/types.hpp"
#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"
#include "device/cuda/memory.hpp"
#include "transport/nccl/nccl_comm.hpp"

namespace qccl::collectives {
namespace cuda {
namespace {

// With no carrier over peer memory NCCL does everything; otherwise what only it does, from when that is first called for.
class ChosenCalls final : public DeviceCalls {
 public:
  ChosenCalls(transport::Control& control, std::vector<int> hosts, int device, DeviceCallOptions options, std::unique_ptr<DeviceCalls> peer,
              bool canUseNccl)
      : control_(control),
        hosts_(std::move(hosts)),
        device_(device),
        options_(std::move(options)),
        peer_(std::move(peer)),
        canUseNccl_(canUseNccl) {
    if (!peer_) nccl();
  }

  void launch(const DeviceExecution& execution) override {
    DeviceCalls& calls = peer_ && !isOnlyNccls(execution.call) ? *peer_ : nccl();
    switchTo(calls, execution.call.stream);
    calls.launch(execution);
  }

  void exchange(std::span<const PointToPoint> operations) override {
    DeviceCalls& calls = nccl();
    switchTo(calls, operations.front().stream);
    calls.exchange(operations);
  }

  void orderAfter(device::StreamHandle stream) override {
    if (last_ != nullptr) last_->orderAfter(stream);
  }

  const char* path() const override { return peer_ ? peer_->path() : "nccl"; }

  bool canUseNccl() const override { return canUseNccl_; }

  DeviceCounts counts() override {
    DeviceCounts total;
    const std::lock_guard lock(mutex_);
    for (DeviceCalls* calls : {peer_.get(), nccl_.get()}) {
      if (calls == nullptr) continue;
      const DeviceCounts counts = calls->counts();
      total.blocks += counts.blocks;
      total.nonFiniteBlocks += counts.nonFiniteBlocks;
      total.sampledElems += counts.sampledElems;
      total.saturatedElems += counts.saturatedElems;
      total.flushedElems += counts.flushedElems;
    }
    return total;
  }

  void leave() override {
    if (peer_) peer_->leave();
    if (nccl_) nccl_->leave();
  }

 private:
  // Collective: all ranks make the same calls.
  DeviceCalls& nccl() {
    if (!nccl_) {
      auto made = makeNcclCalls(control_, hosts_, device_, options_);
      const std::lock_guard lock(mutex_);
      nccl_ = std::move(made);
    }
    return *nccl_;
  }

  // The kernels of both must not run at the same time: each may need room that the other has, on ranks that wait for one another.
  void switchTo(DeviceCalls& calls, device::StreamHandle stream) {
    if (last_ != nullptr && last_ != &calls) {
      const device::cuda::DeviceGuard guard(device_);
      last_->orderAfter(stream);
    }
    last_ = &calls;
  }

  transport::Control& control_;
  const std::vector<int> hosts_;
  const int device_;
  const DeviceCallOptions options_;
  std::unique_ptr<DeviceCalls> peer_;
  const bool canUseNccl_;
  std::unique_ptr<DeviceCalls> nccl_;
  DeviceCalls* last_ = nullptr;  // whose call was the last
  std::mutex mutex_;             // for nccl_, where another thread reads it
};

// Throws on every rank unless the settings are alike. Whether every rank can open NCCL and has a GPU of its own, as NCCL demands.
bool meet(transport::Control& control, const std::vector<int>& hosts, int device, const DeviceCallOptions& options) {
  const std::string settings =
      strCat("QCCL_GPU_PATH=", options.path, " QCCL_THREAD_BLOCKS=", options.threadBlocks, " QCCL_NCCL_TILE_BYTES=", options.ncclTileBytes);
  char gpu[32] = {};
  QCCL_CUDA_CHECK(cudaDeviceGetPCIBusId(gpu, sizeof(gpu), device));
  const std::string own = strCat("host ", hosts[static_cast<std::size_t>(control.rank())], " GPU ", gpu);
  const bool opens = transport::whyNoNccl(options.ncclLibrary).empty();
  const std::vector<std::string> all = control.allGather(strCat(settings, "\n", opens ? own : ""), Deadline::in(options.timeout));
  std::set<std::string> gpus;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const std::size_t end = all[rank].find('\n');
    const std::string theirs = all[rank].substr(0, end);
    if (theirs != settings) {
      fail(qcclInvalidUsage, "rank ", control.rank(), " has ", settings, ", and rank ", rank, " has ", theirs,
           "; set these alike on all ranks");
    }
    if (const std::string theirGpu = all[rank].substr(end + 1); !theirGpu.empty()) gpus.insert(theirGpu);
  }
  return gpus.size() == all.size();
}

}  // namespace
}  // namespace cuda

void copyOnDevice(const Call& call, std::size_t bytes) {
  const device::cuda::DeviceGuard guard(call.device);
  if (bytes > 0 && call.input != call.output) device::cuda::copyAsync(call.output, call.input, bytes, call.stream);
}

void requireDeviceCall(const Call& call, const DeviceCallOptions& options) {
  const char* name = enumName(qcclEnumColl, call.coll);
  if (call.map != nullptr || call.quant.errorFeedback) {
    fail(qcclInvalidArgument, name, ": on GPU memory this version has no precision maps or error feedback; use host memory for those");
  }
  if (!cuda::isOnlyNccls(call)) return;
  const std::string why = transport::whyNoNccl(options.ncclLibrary);
  if (why.empty()) return;
  if (hasDeviceKernels(call.coll, call.dtype, call.op)) {
    fail(qcclInvalidArgument, name, " by algorithm nccl is the real NCCL's, but ", why);
  }
  fail(qcclInvalidArgument, name, " of ", enumName(qcclEnumDataType, call.dtype), " with ", enumName(qcclEnumRedOp, call.op),
       " on GPU memory is the real NCCL's (qccl's own kernels have sum and avg of float32, bfloat16 and float16), but ", why);
}

void requireDeviceExchange(const char* name, const DeviceCallOptions& options) {
  const std::string why = transport::whyNoNccl(options.ncclLibrary);
  if (!why.empty()) fail(qcclInvalidArgument, name, " on GPU memory is the real NCCL's, but ", why);
}

std::unique_ptr<DeviceCalls> makeDeviceCalls(transport::Control& control, const std::vector<int>& hosts, int device,
                                             const DeviceCallOptions& options) {
  using Kind = transport::PeerMemory::Kind;
  const bool canUseNccl = cuda::meet(control, hosts, device, options);
  std::unique_ptr<DeviceCalls> peer;
  std::string why;
  for (const auto& [path, kind] : {std::pair{"peer", Kind::gpu}, std::pair{"host", Kind::host}}) {
    if (peer || (options.path != "auto" && options.path != path)) continue;
    try {
      peer = cuda::makePeerCalls(kind, control, hosts, device, options);
    } catch (const Error& error) {
      // That there can be no such memory is the same Error on every rank; anything else ends the communicator.
      if (options.path == path || error.code() != qcclInvalidUsage || control.failed()) throw;
      log(LogLevel::info, "rank ", control.rank(), " of ", options.name, ": calls on GPU memory do not go by path ", path, ", because ",
          error.what());
      if (why != error.what()) why += strCat(why.empty() ? "" : "; ", error.what());  // of several hosts both say the same
    }
  }
  try {
    return std::make_unique<cuda::ChosenCalls>(control, hosts, device, options, std::move(peer), canUseNccl);
  } catch (const Error& error) {
    if (why.empty()) throw;
    throw Error(error.code(), strCat(error.what(), ". Without NCCL there is no way: ", why));
  }
}

}  // namespace qccl::collectives
