#include "transport/ucx/ucx_worker.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <string_view>
#include <utility>

#include "core/error.hpp"
#include "core/log.hpp"
#include "transport/tcp/background_thread.hpp"
#include "transport/tcp/socket.hpp"

namespace qccl::transport {
namespace {

// How long closing the endpoints of a finished or failed communicator may take.
constexpr std::chrono::seconds kCloseLimit{5};

// How long a loss may wait for the control channel's story.
constexpr std::chrono::seconds kEchoLimit{2};

// How often the service thread looks whether the caller makes progress, shortly after the caller's last visit and later on.
constexpr std::chrono::milliseconds kServiceInterval{2};
constexpr std::chrono::milliseconds kIdleServiceInterval{10};
constexpr int kRoundsUntilIdle = 100;
constexpr int kProgressBurst = 64;

// UCX reads its configuration and looks at the devices when a context is made or cleaned up; one thread at a time.
std::mutex& contextMutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

// The network devices for QCCL_INTERFACE: that interface for TCP, and the RDMA devices, which the setting does not speak of.
std::string netDevices(const std::string& interfaceName) {
  std::string devices = interfaceName;
  std::error_code error;
  for (const auto& device : std::filesystem::directory_iterator("/sys/class/infiniband", error)) {
    for (const auto& port : std::filesystem::directory_iterator(device.path() / "ports", error)) {
      devices += strCat(",", device.path().filename().string(), ":", port.path().filename().string());
    }
  }
  return devices;
}

bool userHasSet(const char* variable) { return std::getenv(variable) != nullptr; }

void choose(ucp_config_t* config, const char* name, const std::string& value) {
  const ucs_status_t status = ucx().ucp_config_modify(config, name, value.c_str());
  if (status != UCS_OK) log(LogLevel::debug, "UCX does not know the setting ", name, ": ", ucx().ucs_status_string(status));
}

// Does UCX_TLS leave any of these ways?
bool mayUse(std::initializer_list<const char*> names) {
  const char* const ways = std::getenv("UCX_TLS");
  if (ways == nullptr || *ways == '^') return true;
  return std::any_of(names.begin(), names.end(),
                     [&](const char* name) { return std::string_view(ways).find(name) != std::string_view::npos; });
}

// Our endpoints report errors, and for those UCX takes only ways that declare that they can: shared memory (posix, sysv) and direct copies
// between processes (cma) do so only when asked, else TCP would carry everything inside a host. Both are safe to ask for: a death is
// noticed through the process's start time, and cma registers no memory that would have to be withdrawn. UCX warns of settings for ways
// that UCX_TLS has excluded, so ask only for those that are left.
void chooseSharedMemory(ucp_config_t* config) {
  if (mayUse({"all", "sm", "shm", "mm", "posix", "sysv"}) && !userHasSet("UCX_MM_ERROR_HANDLING") &&
      !userHasSet("UCX_POSIX_ERROR_HANDLING") && !userHasSet("UCX_SYSV_ERROR_HANDLING")) {
    choose(config, "MM_ERROR_HANDLING", "y");
  }
  if (mayUse({"all", "sm", "shm", "cma"}) && !userHasSet("UCX_CMA_MEMORY_INVALIDATE") && !userHasSet("UCX_MEMORY_INVALIDATE")) {
    choose(config, "MEMORY_INVALIDATE", "y");
  }
}

// UCX asks the receiver before it sends a large message (rendezvous). That saves a copy where memory is shared or a device moves the bytes,
// and over TCP only waits: at 1 Gbit/s the link stood idle for up to half of a call. UCX has one threshold for all ways of a context, so it
// is raised where some rank is reached by TCP. Not without end: what comes before its receive is posted is kept in memory by UCX, and
// messages larger than the tiles of a collective usually are should wait with their sender.
void chooseEagerTcp(ucp_config_t* config, bool oneHost) {
  const bool sharedMemory = oneHost && mayUse({"all", "sm", "shm", "mm", "posix", "sysv", "cma"});
  std::error_code error;
  const bool rdma = std::filesystem::directory_iterator("/sys/class/infiniband", error) != std::filesystem::directory_iterator();
  if (!sharedMemory && !rdma && !userHasSet("UCX_RNDV_THRESH")) choose(config, "RNDV_THRESH", "4m");
}

ucp_context_h makeContext(bool oneHost, const Settings& settings) {
  const std::lock_guard lock(contextMutex());
  ucp_config_t* config = nullptr;
  checkUcx(ucx().ucp_config_read(nullptr, nullptr, &config), "reading UCX's configuration", qcclSystemError);
  const std::string interfaceName = chosenInterface(settings);
  if (!interfaceName.empty() && !userHasSet("UCX_NET_DEVICES")) choose(config, "NET_DEVICES", netDevices(interfaceName));
  chooseSharedMemory(config);
  chooseEagerTcp(config, oneHost);
  // POSIX segments have a name in /dev/shm while UCX touches all of their pages, so a rank killed just then leaves a file. System V
  // segments are as fast, are marked for removal within microseconds, and are not held to the small /dev/shm of many containers.
  if (!userHasSet("UCX_TLS")) choose(config, "TLS", "^posix");
  // UCX writes to standard output, where programs print their results, and complains of every message and segment that a dead rank leaves
  // behind. What matters comes back as status codes.
  if (!userHasSet("UCX_LOG_LEVEL") && logLevel() < LogLevel::info) choose(config, "LOG_LEVEL", "fatal");
  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_NAME;
  params.features = UCP_FEATURE_TAG;
  params.name = "qccl";
  ucp_context_h context = nullptr;
  const ucs_status_t status = ucx().ucp_init_version(UCP_API_MAJOR, UCP_API_MINOR, &params, config, &context);
  ucx().ucp_config_release(config);
  checkUcx(status, "starting UCX (do QCCL_INTERFACE, UCX_NET_DEVICES and UCX_TLS leave it a device that is up?)", qcclSystemError);
  return context;
}

}  // namespace

UcxWorker::UcxWorker(int rank, int size, bool oneHost, const Settings& settings)
    : rank_(rank), context_(makeContext(oneHost, settings)), peers_(static_cast<std::size_t>(size)) {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SERIALIZED;
  const ucs_status_t status = ucx().ucp_worker_create(context_, &params, &worker_);
  if (status != UCS_OK) {
    const std::lock_guard lock(contextMutex());
    ucx().ucp_cleanup(context_);
    checkUcx(status, "making a UCX worker", qcclSystemError);
  }
  service_ = startBackgroundThread([this] { serve(); });
}

UcxWorker::~UcxWorker() {
  {
    const std::lock_guard stopping(serviceMutex_);
    stop_ = true;
  }
  stopping_.notify_one();
  service_.join();
  for (Peer& peer : peers_) startClosing(peer);
  finishClosing(Deadline::in(kCloseLimit));
  if (!closing_.empty()) {
    // Leaking them is safe, destroying a worker under unfinished requests is not.
    log(LogLevel::warn, "rank ", rank_, ": UCX did not end ", closing_.size(), " connections within ", kCloseLimit.count(),
        " s; its resources stay until the process ends");
    return;
  }
  ucx().ucp_worker_destroy(worker_);
  const std::lock_guard lock(contextMutex());
  ucx().ucp_cleanup(context_);
}

void UcxWorker::serve() {
  std::uint64_t seen = 0;
  int quietRounds = 0;
  std::unique_lock waiting(serviceMutex_);
  while (!stopping_.wait_for(waiting, quietRounds < kRoundsUntilIdle ? kServiceInterval : kIdleServiceInterval, [this] { return stop_; })) {
    const std::uint64_t now = activity_.load(std::memory_order_relaxed);
    if (now != seen) {
      seen = now;
      quietRounds = 0;
      continue;
    }
    if (quietRounds < kRoundsUntilIdle) ++quietRounds;
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) continue;
    for (int i = 0; i < kProgressBurst && !retired_ && ucx().ucp_worker_progress(worker_) != 0; ++i) {
    }
  }
}

std::string UcxWorker::address() const {
  ucp_address_t* address = nullptr;
  std::size_t bytes = 0;
  checkUcx(ucx().ucp_worker_get_address(worker_, &address, &bytes), "asking UCX for its address", qcclSystemError);
  const std::string copy(reinterpret_cast<const char*>(address), bytes);
  ucx().ucp_worker_release_address(worker_, address);
  return copy;
}

void UcxWorker::connect(const std::vector<std::string>& addresses) {
  for (std::size_t i = 0; i < peers_.size(); ++i) {
    if (static_cast<int>(i) == rank_) continue;
    ucp_ep_params_t params{};
    params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
    params.address = reinterpret_cast<const ucp_address_t*>(addresses[i].data());
    params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
    params.err_handler.cb = &UcxWorker::onEndpointError;
    params.err_handler.arg = &peers_[i];
    const ucs_status_t status = ucx().ucp_ep_create(worker_, &params, &peers_[i].endpoint);
    if (status != UCS_OK) {
      fail(qcclSystemError, "rank ", rank_, " cannot reach rank ", i, ": UCX says \"", ucx().ucs_status_string(status),
           "\" (do UCX_TLS, UCX_NET_DEVICES and QCCL_INTERFACE leave a way that both ranks have? With QCCL_LOG=info UCX says more)");
    }
  }
}

void UcxWorker::reportLoss(int peer, ucs_status_t status) {
  if (control_ != nullptr) {
    control_->throwIfFailed();
    if (!echoDeadline_.has_value()) echoDeadline_ = Deadline::in(kEchoLimit);
    if (!echoDeadline_->passed()) return;
  }
  if (peerStatus(peer) != UCS_OK) status = peerStatus(peer);
  fail(qcclRemoteError, "rank ", rank_, " lost its connection to rank ", peer, ": UCX says \"", ucx().ucs_status_string(status), "\"");
}

std::vector<void*> UcxWorker::startFlush() {
  std::vector<void*> requests;
  for (Peer& peer : peers_) {
    if (!std::exchange(peer.used, false) || peer.endpoint == nullptr || peer.status != UCS_OK) continue;
    const ucp_request_param_t params{};
    const ucs_status_ptr_t request = ucx().ucp_ep_flush_nbx(peer.endpoint, &params);
    if (UCS_PTR_IS_PTR(request)) requests.push_back(request);
  }
  return requests;
}

void UcxWorker::closePeer(int peer) {
  retired_ = true;
  startClosing(peers_[static_cast<std::size_t>(peer)]);
  std::erase_if(closing_, [](void* request) {
    if (ucx().ucp_request_check_status(request) == UCS_INPROGRESS) return false;
    ucx().ucp_request_free(request);
    return true;
  });
}

// Called by UCX during progress.
void UcxWorker::onEndpointError(void* argument, ucp_ep_h, ucs_status_t status) {
  auto& peer = *static_cast<Peer*>(argument);
  if (peer.status == UCS_OK) peer.status = status;
}

void UcxWorker::startClosing(Peer& peer) {
  if (peer.endpoint == nullptr) return;
  ucp_request_param_t params{};
  params.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
  params.flags = UCP_EP_CLOSE_FLAG_FORCE;
  const ucs_status_ptr_t request = ucx().ucp_ep_close_nbx(std::exchange(peer.endpoint, nullptr), &params);
  if (peer.status == UCS_OK) peer.status = UCS_ERR_CANCELED;
  if (UCS_PTR_IS_PTR(request)) closing_.push_back(request);
}

void UcxWorker::finishClosing(Deadline deadline) {
  while (true) {
    progress();
    std::erase_if(closing_, [](void* request) {
      if (ucx().ucp_request_check_status(request) == UCS_INPROGRESS) return false;
      ucx().ucp_request_free(request);
      return true;
    });
    if (closing_.empty() || retired_ || deadline.passed()) return;
  }
}

}  // namespace qccl::transport
