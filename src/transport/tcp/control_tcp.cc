#include "transport/tcp/control_tcp.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transport/rank_list.hpp"
#include "transport/tcp/background_thread.hpp"
#include "transport/tcp/handshake.hpp"
#include "transport/tcp/room.hpp"

namespace qccl::transport {
namespace {

constexpr std::chrono::milliseconds kRetryPause{50};
// A rendezvous that hangs up on our hello is asked again this often: it may have dropped us to make room among many strangers.
constexpr int kHangUpRetries = 5;
// How long the root may take to say whom we are waiting for.
constexpr std::chrono::seconds kAskLimit{2};
constexpr std::chrono::milliseconds kEchoLimit{500};
// What is still to be said when a control is destroyed leaves within this time or not at all.
constexpr std::chrono::seconds kLastWordsLimit{1};
constexpr std::size_t kReadBytes = std::size_t{64} << 10;

Fd findRoot(const UniqueIdFields& id, int rank, int size, Deadline deadline) {
  Hello hello;
  hello.rank = static_cast<std::uint32_t>(rank);
  hello.size = static_cast<std::uint32_t>(size);
  HandshakeResult result{};
  for (int hangUps = 0; !deadline.passed();) {
    Fd socket;
    result = shakeHands(id, hello, deadline, socket);
    switch (result) {
      case HandshakeResult::accepted:
        return socket;
      case HandshakeResult::nobodyThere:
        if (id.mayStartLater) break;
        qccl::fail(qcclRemoteError, "nobody waits for ranks at ", id.address.text(),
                   ", which the unique id names: the process that made the id has ended, its wait timed out, or ",
                   "the ranks of this id have met already; make a new id for every communicator");
      case HandshakeResult::hungUp:
        if (id.mayStartLater || ++hangUps <= kHangUpRetries) break;
        qccl::fail(qcclRemoteError, "the rendezvous at ", id.address.text(),
                   " does not know this unique id: its ranks have met already, or the id belongs to a process that ",
                   "has ended; make a new id for every communicator");
      case HandshakeResult::impostor:
        if (id.mayStartLater) break;
        qccl::fail(qcclRemoteError, "what listens at ", id.address.text(),
                   " is not the rendezvous of this unique id: the process that made the id has ended");
      case HandshakeResult::tryAgain:
      case HandshakeResult::timedOut:
        break;
    }
    std::this_thread::sleep_for(std::min<Deadline::Clock::duration>(kRetryPause, deadline.left()));
  }
  const char* const why =
      result == HandshakeResult::nobodyThere ? "nobody listened there"
      : result == HandshakeResult::hungUp ? "it did not know the id (with QCCL_RENDEZVOUS=tcp://..., is QCCL_SECRET the same on all ranks?)"
      : result == HandshakeResult::impostor ? "something else listens there"
                                            : "there was no answer (a firewall, or the wrong interface? see QCCL_INTERFACE)";
  qccl::fail(qcclTimeout, "rank ", rank, " did not reach the rendezvous at ", id.address.text(),
             " before its timeout (QCCL_TIMEOUT_MS): ", why);
}

}  // namespace

std::unique_ptr<TcpControl> TcpControl::join(const UniqueIdFields& id, int rank, int size, Deadline deadline,
                                             std::chrono::milliseconds linkTimeout) {
  Fd socket = findRoot(id, rank, size, deadline);
  setControlOptions(socket.get(), linkTimeout);
  std::unique_ptr<TcpControl> control(new TcpControl(std::move(socket), id.address.text(), rank, size));
  control->awaitJoined(deadline);
  return control;
}

TcpControl::TcpControl(Fd socket, std::string rootText, int rank, int size)
    : socket_(std::move(socket)), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), rootText_(std::move(rootText)), rank_(rank), size_(size) {
  if (!wake_.valid()) failErrno("no event descriptor for the control channel", errno);
  thread_ = startBackgroundThread([this] { run(); });
}

TcpControl::~TcpControl() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake();
  thread_.join();
}

void TcpControl::awaitJoined(Deadline deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline.at(), [&] { return joined_ || failed(); });
  if (joined_) return;  // a failure after that is for the next call to report
  if (!failed()) {
    const std::vector<int> ranks = askMissing(lock, static_cast<std::uint8_t>(WaitingFor::join));
    const std::string who = ranks.empty() ? "the other ranks" : rankList(ranks);
    const Failure timeout{qcclTimeout, rank_,
                          strCat("rank ", rank_, " waited in vain for ", who, " of ", size_,
                                 " to join before its timeout (QCCL_TIMEOUT_MS): was every rank started, ", "with the same unique id?")};
    if (!joined_ && !failed()) {
      enqueue(FrameType::fail, encodeFailure(timeout));
      setFailure(timeout);
    }
  }
  if (!joined_) throw Error(failure_.code, failure_.what);
}

std::vector<std::string> TcpControl::allGather(const std::string& mine, Deadline deadline) {
  if (mine.size() > kMaxMemberFrameBytes)
    qccl::fail(qcclInternalError, "an exchange of ", mine.size(), " bytes a rank is more than the control channel carries");
  std::unique_lock lock(mutex_);
  if (failed()) throw Error(failure_.code, failure_.what);
  gathered_.reset();
  enqueue(FrameType::gather, mine);
  changed_.wait_until(lock, deadline.at(), [&] { return gathered_.has_value() || failed(); });
  if (gathered_.has_value()) return *std::exchange(gathered_, std::nullopt);
  if (failed()) throw Error(failure_.code, failure_.what);
  std::vector<int> ranks = askMissing(lock, static_cast<std::uint8_t>(WaitingFor::gather));
  if (failed()) throw Error(failure_.code, failure_.what);
  qccl::fail(qcclTimeout, "rank ", rank_, " waited in vain for ", ranks.empty() ? "the other ranks" : rankList(ranks),
             " to exchange addresses or agree");
}

void TcpControl::fail(const Failure& failure) noexcept {
  std::unique_lock lock(mutex_);
  if (failed()) return;
  enqueue(FrameType::fail, encodeFailure(failure));
  setFailure(failure);
  // A program that hears of the failure may exit at once, and the root may be a thread of it: the root's echo says that the others are
  // being told. Without it they would only see a death.
  changed_.wait_for(lock, kEchoLimit, [&] { return failureEchoed_ || rootGone_; });
}

Failure TcpControl::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void TcpControl::leave(Deadline deadline) {
  std::unique_lock lock(mutex_);
  if (failed()) return;
  leaving_ = true;
  enqueue(FrameType::leave, "");
  const auto over = [&] { return allLeft_ || failed() || rootGone_; };
  if (changed_.wait_until(lock, deadline.at(), over)) return;
  const std::vector<int> ranks = askMissing(lock, static_cast<std::uint8_t>(WaitingFor::leave));
  if (over()) return;
  qccl::fail(qcclTimeout, "rank ", rank_, " waited in vain for ", ranks.empty() ? "the other ranks" : rankList(ranks),
             " to leave the communicator");
}

std::vector<std::optional<RankStatus>> TcpControl::askStatuses(Deadline deadline) {
  std::unique_lock lock(mutex_);
  statuses_.assign(static_cast<std::size_t>(size_), std::nullopt);
  enqueue(FrameType::askStatus, "");
  changed_.wait_until(lock, deadline.at(), [&] {
    return failed() || rootGone_ || std::all_of(statuses_.begin(), statuses_.end(), [](const auto& status) { return status.has_value(); });
  });
  return std::exchange(statuses_, {});
}

// Whom the root is waiting for, when our own wait has ended in vain. Empty if it does not say.
std::vector<int> TcpControl::askMissing(std::unique_lock<std::mutex>& lock, std::uint8_t what) {
  missing_.reset();
  const char payload = static_cast<char>(what);
  enqueue(FrameType::askMissing, std::string_view(&payload, 1));
  changed_.wait_for(lock, kAskLimit, [&] { return missing_.has_value() || failed() || rootGone_; });
  return missing_.value_or(std::vector<int>{});
}

void TcpControl::enqueue(FrameType type, std::string_view payload) {
  out_ += encodeFrame(type, payload);
  wake();
}

void TcpControl::wake() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);  // only fails when the counter is full: awake anyway
}

void TcpControl::setFailure(const Failure& failure) {
  if (failed()) return;
  failure_ = failure;
  failed_.store(true, std::memory_order_release);
  changed_.notify_all();
}

void TcpControl::run() {
  bool connected = true;
  std::optional<Deadline> lastWords;
  while (true) {
    bool wantsWrite = false;
    {
      const std::lock_guard lock(mutex_);
      wantsWrite = connected && !out_.empty();
      if (stop_ && !lastWords.has_value()) lastWords = Deadline::in(kLastWordsLimit);
    }
    if (lastWords.has_value() && (!wantsWrite || lastWords->passed())) break;
    pollfd waiting[2] = {{wake_.get(), POLLIN, 0},
                         {connected ? socket_.get() : -1, static_cast<short>(wantsWrite ? POLLIN | POLLOUT : POLLIN), 0}};
    poll(waiting, 2, lastWords.has_value() ? static_cast<int>(lastWords->left().count()) : -1);
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(wake_.get(), &count, sizeof count);
    if (connected && waiting[1].revents != 0) connected = readSome();
    if (connected) connected = writeSome();
  }
  shutdown(socket_.get(), SHUT_RDWR);
}

// False when the connection is over.
bool TcpControl::readSome() {
  char buffer[kReadBytes];
  const ssize_t got = recv(socket_.get(), buffer, sizeof buffer, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0) {
    rootGone(got == 0 ? "its connection ended without a goodbye" : std::strerror(errno));
    return false;
  }
  try {
    in_.append(buffer, static_cast<std::size_t>(got));
    while (const std::optional<Frame> frame = takeFrame(in_, kMaxRootFrameBytes)) handle(*frame);
    return true;
  } catch (const std::exception& error) {
    rootGone(error.what());
    return false;
  }
}

bool TcpControl::writeSome() {
  const std::lock_guard lock(mutex_);  // the socket does not block, so neither does this
  while (!out_.empty()) {
    const ssize_t sent = send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (sent < 0)
      return errno == EAGAIN || errno == EINTR || errno == EPIPE ||
             errno == ECONNRESET;  // the end shows when reading, after what is still to be read
    out_.erase(0, static_cast<std::size_t>(sent));
  }
  return true;
}

void TcpControl::handle(const Frame& frame) {
  const std::lock_guard lock(mutex_);
  switch (frame.type) {
    case FrameType::joined:
      rootRanks_ = decodeRanks(frame.payload);
      joined_ = true;
      break;
    case FrameType::gathered: {
      std::vector<std::string> texts = decodeTexts(frame.payload);
      if (texts.size() != static_cast<std::size_t>(size_))
        qccl::fail(qcclInternalError, "the root of the control channel sent ", texts.size(), " contributions for ", size_, " ranks");
      gathered_ = std::move(texts);
      break;
    }
    case FrameType::failed:
      failureEchoed_ = true;
      setFailure(decodeFailure(frame.payload));
      break;
    case FrameType::allLeft:
      allLeft_ = true;
      break;
    case FrameType::missing:
      missing_ = decodeRanks(frame.payload);
      break;
    case FrameType::statusWanted:
      enqueue(FrameType::status, encodeStatus(rank_, status_->get()));
      break;
    case FrameType::statusOf: {
      const auto [rank, status] = decodeStatus(frame.payload);
      if (rank >= 0 && static_cast<std::size_t>(rank) < statuses_.size()) statuses_[static_cast<std::size_t>(rank)] = status;
      break;
    }
    default:
      qccl::fail(qcclInternalError, "the root of the control channel sent a message of unknown type ", static_cast<int>(frame.type));
  }
  changed_.notify_all();
}

void TcpControl::rootGone(const std::string& why) {
  const std::lock_guard lock(mutex_);
  rootGone_ = true;
  changed_.notify_all();
  // After our goodbye the root may be the first to end: the others have said theirs, or will hear of it themselves.
  if (leaving_ || failed()) return;
  if (rootRanks_.empty()) {
    setFailure({qcclRemoteError, -1,
                strCat("the process that made the unique id (rendezvous ", rootText_, ") is gone: ", why,
                       "; it must live until all ranks have left")});
  } else {
    setFailure({qcclRemoteError, rootRanks_.front(),
                strCat(rankList(rootRanks_), rootRanks_.size() == 1 ? " is" : " are",
                       " gone, in whose process the unique id was made (rendezvous ", rootText_, "): ", why)});
  }
}

bool rendezvousIsWaiting(const UniqueIdFields& id, Deadline deadline) {
  Hello probe;
  probe.rank = kProbeRank;
  Fd socket;
  return shakeHands(id, probe, deadline, socket) == HandshakeResult::accepted;
}

}  // namespace qccl::transport
