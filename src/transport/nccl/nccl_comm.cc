#include "transport/nccl/nccl_comm.hpp"

#include <condition_variable>
#include <cstring>
#include <mutex>

#include "core/backoff.hpp"
#include "core/deadline.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "device/cuda/check.cuh"
#include "device/cuda/device_guard.hpp"
#include "transport/nccl/nccl_library.cuh"
#include "transport/tcp/background_thread.hpp"
#include "transport/together.hpp"

namespace qccl::transport {
namespace {

using device::StreamHandle;
using device::cuda::DeviceGuard;

static_assert(static_cast<int>(qcclFloat32) == ncclFloat32 && static_cast<int>(qcclFloat8e5m2) == ncclFloat8e5m2);
static_assert(static_cast<int>(qcclInt8) == ncclInt8 && static_cast<int>(qcclBfloat16) == ncclBfloat16);
static_assert(static_cast<int>(qcclSum) == ncclSum && static_cast<int>(qcclMin) == ncclMin && static_cast<int>(qcclAvg) == ncclAvg);

ncclDataType_t typeOf(qcclDataType_t dtype) { return static_cast<ncclDataType_t>(dtype); }
ncclRedOp_t opOf(qcclRedOp_t op) { return static_cast<ncclRedOp_t>(op); }

// How long the end of a communicator is waited for.
constexpr std::chrono::seconds kEndLimit{5};

// What a rank tells the others before NCCL is asked.
struct Offer {
  std::int32_t version;
  char bus[16];     // of the GPU
  ncclUniqueId id;  // of rank 0
};

Offer offerOf(const NcclLibrary& nccl, int device, int rank) {
  Offer offer{};
  offer.version = nccl.version;
  QCCL_CUDA_CHECK(cudaDeviceGetPCIBusId(offer.bus, sizeof(offer.bus), device));
  if (rank == 0 && nccl.GetUniqueId(&offer.id) != ncclSuccess) {
    fail(qcclSystemError, "NCCL (", nccl.path, ") cannot make a communicator: ", nccl.GetLastError(nullptr),
         " (NCCL_DEBUG=WARN says more)");
  }
  return offer;
}

void checkOffers(const std::vector<Offer>& offers, const std::vector<int>& hosts) {
  for (std::size_t i = 0; i < offers.size(); ++i) {
    if (offers[i].version != offers[0].version) {
      fail(qcclInvalidUsage, "rank 0 has version ", offers[0].version, " of NCCL, rank ", i, " version ", offers[i].version,
           "; use the same on all ranks (QCCL_NCCL_LIBRARY names the file)");
    }
    for (std::size_t k = 0; k < i; ++k) {
      if (hosts[i] != hosts[k] || std::strncmp(offers[i].bus, offers[k].bus, sizeof(offers[i].bus)) != 0) continue;
      fail(qcclInvalidUsage, "ranks ", k, " and ", i, " share the GPU ",
           std::string(offers[i].bus, strnlen(offers[i].bus, sizeof(offers[i].bus))),
           ", which NCCL does not do; give each rank a GPU of its own");
    }
  }
}

qcclResult_t codeOf(int result) {
  // NCCL's own defects are not ours.
  return result == ncclInternalError || result > ncclRemoteError ? qcclSystemError : static_cast<qcclResult_t>(result);
}

}  // namespace

// Shared with threads that end the communicators, which may outlive the object.
struct NcclComm::Handles {
  const NcclLibrary* nccl = nullptr;
  int device = -1;
  ncclComm_t first = nullptr;  // made without blocking; used to abort, for nothing else
  ncclComm_t used = nullptr;   // split off it

  std::string story(ncclResult_t result) const {
    const char* last = nccl->GetLastError(nullptr);
    std::string text = nccl->GetErrorString(result);
    if (last != nullptr && *last != '\0') text += strCat(": ", last);
    return text + " (NCCL_DEBUG=WARN says more)";
  }

  static void abortUsed(Handles& h) {
    onDevice(h, [&] { (void)h.nccl->CommAbort(h.used); });
  }
  static void destroyBoth(Handles& h) {
    onDevice(h, [&] {
      (void)h.nccl->CommDestroy(h.used);
      (void)h.nccl->CommDestroy(h.first);
    });
  }

 private:
  template <typename Body>
  static void onDevice(const Handles& handles, Body body) {
    try {
      const DeviceGuard guard(handles.device);
      body();
    } catch (const Error&) {
      // The device is lost, and with it what was to be ended.
    }
  }
};

// Something that NCCL may take any time for, on a thread of its own.
class NcclComm::Ending {
 public:
  static std::shared_ptr<Ending> start(std::shared_ptr<Handles> handles, void (*body)(Handles&)) {
    auto ending = std::make_shared<Ending>();
    startBackgroundThread([ending, handles = std::move(handles), body] {
      try {
        const DeviceGuard guard(handles->device);
        body(*handles);
      } catch (const Error&) {
        // The device is lost.
      }
      const std::lock_guard lock(ending->mutex_);
      ending->ended_ = true;
      ending->changed_.notify_all();
    }).detach();
    return ending;
  }

  bool wait(Deadline deadline) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, deadline.at(), [this] { return ended_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
};

NcclComm::NcclComm(Control& control, const std::vector<int>& hosts, int device, const std::string& library,
                   std::chrono::milliseconds timeout)
    : device_(device), handles_(std::make_shared<Handles>()) {
  handles_->device = device;
  const DeviceGuard guard(device);
  // A rank that fails at once waits for those that find out when their own bound has passed.
  const Deadline deadline = Deadline::in(2 * timeout + std::chrono::seconds(1));
  Offer mine{};
  together(control, deadline, [&] {
    handles_->nccl = &openNccl(library);
    mine = offerOf(*handles_->nccl, device, control.rank());
  });
  const std::vector<std::string> all = control.allGather(std::string(reinterpret_cast<const char*>(&mine), sizeof(mine)), deadline);
  std::vector<Offer> offers(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].size() != sizeof(Offer))
      fail(qcclInvalidUsage, "rank ", i, " runs another version of qccl; use the same library on all ranks");
    std::memcpy(&offers[i], all[i].data(), sizeof(Offer));
  }
  checkOffers(offers, hosts);
  try {
    together(control, deadline, [&] { make(control, std::string(offers[0].id.internal, sizeof(offers[0].id.internal)), timeout); });
  } catch (...) {
    abort();  // the destructor does not run
    throw;
  }
  if (control.rank() == 0) log(LogLevel::info, "NCCL ", ncclVersionText(library), " is ready among ", control.size(), " ranks");
}

void NcclComm::make(Control& control, const std::string& idBytes, std::chrono::milliseconds timeout) {
  const Deadline deadline = Deadline::in(timeout);
  const NcclLibrary& nccl = *handles_->nccl;
  const auto ready = [&](ncclResult_t result, const char* call) {
    Backoff backoff;
    while (result == ncclSuccess || result == ncclInProgress) {
      ncclResult_t state = ncclSuccess;
      result = nccl.CommGetAsyncError(handles_->first, &state);
      if (result == ncclSuccess && state == ncclSuccess) return;
      if (state != ncclInProgress && state != ncclSuccess) result = state;
      control.throwIfFailed();
      if (deadline.passed()) {
        fail(qcclTimeout, "rank ", control.rank(), " waited ", timeout.count(),
             " ms for NCCL to connect the ranks; a rank has ended, or the network between them does not work (NCCL_SOCKET_IFNAME chooses "
             "the interface, QCCL_TIMEOUT_MS sets the bound)");
      }
      backoff.pause();
    }
    fail(codeOf(result), "NCCL: ", call, " failed: ", handles_->story(result));
  };
  ncclUniqueId id;
  std::memcpy(id.internal, idBytes.data(), sizeof(id.internal));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  config.splitShare = 1;  // one flag aborts both
  ready(nccl.CommInitRankConfig(&handles_->first, control.size(), id, control.rank(), &config), "ncclCommInitRankConfig");
  ncclConfig_t blocking = NCCL_CONFIG_INITIALIZER;
  blocking.blocking = 1;  // without, NCCL starts a thread for each group
  ready(nccl.CommSplit(handles_->first, 0, control.rank(), &handles_->used, &blocking), "ncclCommSplit");
  if (handles_->used == nullptr) fail(qcclSystemError, "NCCL: ncclCommSplit made no communicator (NCCL_DEBUG=WARN says more)");
}

NcclComm::~NcclComm() {
  const Deadline deadline = Deadline::in(kEndLimit);
  if (!left_) abort();
  if (aborting_ && !aborting_->wait(deadline)) {
    log(LogLevel::warn, "NCCL does not end its kernels on GPU ", device_, "; the communicator's memory there is not given back");
    return;  // what it uses stays
  }
  if (handles_->used == nullptr) return;
  if (!Ending::start(handles_, aborted_ ? Handles::abortUsed : Handles::destroyBoth)->wait(deadline)) {
    log(LogLevel::warn, "NCCL still holds its communicator on GPU ", device_,
        ": destroy CUDA graphs with calls before the communicator that the calls are on");
  }
}

void NcclComm::abort() noexcept {
  if (aborted_.exchange(true)) return;
  try {
    // Nothing of CUDA before: it might wait for the kernels that are to end. NCCL makes the device current by itself.
    if (handles_->first != nullptr) {
      aborting_ = Ending::start(handles_, [](Handles& h) { (void)h.nccl->CommAbort(h.first); });
    }
  } catch (...) {
    // No thread for it: whoever waits for the kernels has a bound.
  }
}

std::string NcclComm::failure() const {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t result = handles_->nccl->CommGetAsyncError(handles_->used, &state);
  if (result != ncclSuccess) return handles_->story(result);
  return state == ncclSuccess || state == ncclInProgress ? "" : handles_->story(state);
}

// NCCL_COMM_BLOCKING=0 makes any communicator one that does not block: then it is not ready before it says so.
void NcclComm::check(int result, const char* call) {
  Backoff backoff;
  auto state = static_cast<ncclResult_t>(result);
  while (state == ncclInProgress) {
    backoff.pause();
    const ncclResult_t asked = handles_->nccl->CommGetAsyncError(handles_->used, &state);
    if (asked != ncclSuccess) state = asked;
    if (aborted_) fail(qcclRemoteError, "NCCL: ", call, " was ended because the communicator failed");
  }
  if (state != ncclSuccess) fail(codeOf(state), "NCCL: ", call, " failed: ", handles_->story(state));
}

void NcclComm::allReduce(const void* in, void* out, std::size_t elems, qcclDataType_t dtype, qcclRedOp_t op, StreamHandle stream) {
  check(handles_->nccl->AllReduce(in, out, elems, typeOf(dtype), opOf(op), handles_->used, stream), "ncclAllReduce");
}

void NcclComm::reduceScatter(const void* in, void* out, std::size_t outElems, qcclDataType_t dtype, qcclRedOp_t op, StreamHandle stream) {
  check(handles_->nccl->ReduceScatter(in, out, outElems, typeOf(dtype), opOf(op), handles_->used, stream), "ncclReduceScatter");
}

void NcclComm::allGather(const void* in, void* out, std::size_t inElems, qcclDataType_t dtype, StreamHandle stream) {
  check(handles_->nccl->AllGather(in, out, inElems, typeOf(dtype), handles_->used, stream), "ncclAllGather");
}

void NcclComm::broadcast(const void* in, void* out, std::size_t elems, qcclDataType_t dtype, int root, StreamHandle stream) {
  check(handles_->nccl->Broadcast(in, out, elems, typeOf(dtype), root, handles_->used, stream), "ncclBroadcast");
}

void NcclComm::reduce(const void* in, void* out, std::size_t elems, qcclDataType_t dtype, qcclRedOp_t op, int root, StreamHandle stream) {
  check(handles_->nccl->Reduce(in, out, elems, typeOf(dtype), opOf(op), root, handles_->used, stream), "ncclReduce");
}

void NcclComm::group(const std::function<void()>& body) {
  check(handles_->nccl->GroupStart(), "ncclGroupStart");
  try {
    body();
  } catch (...) {
    (void)handles_->nccl->GroupEnd();  // or all later calls of this thread would be part of it
    throw;
  }
  check(handles_->nccl->GroupEnd(), "ncclGroupEnd");
}

void NcclComm::send(const void* from, std::size_t bytes, int peer, StreamHandle stream) {
  check(handles_->nccl->Send(from, bytes, ncclInt8, peer, handles_->used, stream), "ncclSend");
}

void NcclComm::receive(void* to, std::size_t bytes, int peer, StreamHandle stream) {
  check(handles_->nccl->Recv(to, bytes, ncclInt8, peer, handles_->used, stream), "ncclRecv");
}

std::string whyNoNccl(const std::string& library) {
  try {
    openNccl(library);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string ncclVersionText(const std::string& library) {
  try {
    const NcclLibrary& nccl = openNccl(library);
    return strCat(nccl.version / 10000, ".", nccl.version / 100 % 100, ".", nccl.version % 100, " (", nccl.path, ")");
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace qccl::transport
