#include "transport/tcp/rendezvous_server.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <mutex>
#include <thread>

#include "core/error.hpp"
#include "core/log.hpp"
#include "transport/tcp/background_thread.hpp"
#include "transport/tcp/protocol.hpp"
#include "transport/tcp/room.hpp"

namespace qccl::transport {
namespace {

constexpr std::size_t kReadBytes = std::size_t{64} << 10;  // at most, from one connection in one turn
constexpr int kAcceptsPerTurn = 64;

struct HostedRoom;

struct Connection {
  enum class State { proving, member, closing };

  Fd fd;
  State state = State::proving;
  Deadline deadline = Deadline::in(kHandshakeLimit);  // of proving and of closing
  Nonce challenge{};
  std::string in;
  std::string out;
  bool shutDown = false;  // the last bytes are sent, and the peer knows that nothing follows
  HostedRoom* hosted = nullptr;
  int rank = -1;
  std::size_t pollIndex = 0;  // of the current turn; 0: came after this turn's poll

  bool hasDeadline() const { return state != State::member; }
};

struct HostedRoom {
  HostedRoom(const Secret& secret, RendezvousOptions options_)
      : options(std::move(options_)),
        room(secret, Deadline::in(options.timeout), options.linkTimeout,
             [this](int rank, const std::string& frame, bool last) { send(rank, frame, last); }) {}

  void send(int rank, const std::string& frame, bool last) {
    Connection& connection = *connections[static_cast<std::size_t>(rank)];
    connection.out += frame;
    if (!last) return;
    connection.state = Connection::State::closing;
    connection.deadline = Deadline::in(kGoodbyeLimit);
    connections[static_cast<std::size_t>(rank)] = nullptr;
  }

  void tellMeetingEnd() {
    if (options.onMeetingEnd) std::exchange(options.onMeetingEnd, nullptr)();
  }

  RendezvousOptions options;
  Room room;
  std::vector<Connection*> connections;  // by rank, of members
};

class RendezvousServer {
 public:
  RendezvousServer(Fd listener, const SocketAddress& address)
      : address_(address), listener_(std::move(listener)), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (!wake_.valid()) failErrno("no event descriptor for the rendezvous", errno);
  }

  ~RendezvousServer() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake();
    if (thread_.joinable()) thread_.join();
  }

  void start() {
    thread_ = startBackgroundThread([this] { run(); });
  }

  const SocketAddress& address() const { return address_; }

  // False if the server has ended, or its port has gone to another program.
  bool addRoom(std::unique_ptr<HostedRoom>& room) {
    const std::lock_guard lock(mutex_);
    if (ended_) return false;
    newRooms_.push_back(std::move(room));
    wake();
    return true;
  }

  bool ended() const {
    const std::lock_guard lock(mutex_);
    return ended_;
  }

 private:
  void wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);  // only fails when the counter is full: awake anyway
  }

  void run() {
    while (takeNewRooms()) {
      openOrCloseListener();
      waitForEvents();
      acceptNew();
      for (Connection& connection : connections_) serve(connection);
      for (Connection& connection : connections_) enforceDeadline(connection);
      for (const auto& hosted : rooms_) {
        if (hosted->room.gathering() && hosted->room.deadline().passed()) hosted->room.giveUp();
        if (!hosted->room.gathering()) hosted->tellMeetingEnd();
      }
      // What this turn wants to say leaves in this turn.
      for (Connection& connection : connections_) flush(connection);
      std::erase_if(connections_, [](const Connection& connection) { return !connection.fd.valid(); });
      std::erase_if(rooms_, [](const auto& hosted) { return hosted->room.over(); });
    }
    for (const auto& hosted : rooms_) hosted->tellMeetingEnd();
    connections_.clear();
    listener_.reset();
  }

  // False when the server should end.
  bool takeNewRooms() {
    const std::lock_guard lock(mutex_);
    for (auto& room : newRooms_) rooms_.push_back(std::move(room));
    newRooms_.clear();
    const bool busy = !rooms_.empty() || std::any_of(connections_.begin(), connections_.end(), [](const Connection& connection) {
      return connection.state == Connection::State::closing;
    });
    ended_ = stop_ || !busy;
    return !ended_;
  }

  bool wantsRanks() const {
    return std::any_of(rooms_.begin(), rooms_.end(), [](const auto& hosted) { return hosted->room.gathering() || hosted->room.failed(); });
  }

  void openOrCloseListener() {
    if (!wantsRanks()) {
      listener_.reset();
    } else if (!listener_.valid()) {
      try {
        listener_ = listenOn(address_);
      } catch (const Error& error) {
        log(LogLevel::warn, error.what());
      }
      if (listener_.valid()) return;
      for (const auto& hosted : rooms_) {
        if (hosted->room.gathering())
          hosted->room.fail({qcclSystemError, -1, strCat("the rendezvous cannot listen on ", address_.text(), " again")});
      }
    }
  }

  void waitForEvents() {
    polled_.clear();
    polled_.push_back({wake_.get(), POLLIN, 0});
    polled_.push_back({listener_.get(), POLLIN, 0});  // a negative descriptor is ignored
    auto until = Deadline::Clock::time_point::max();
    for (Connection& connection : connections_) {
      connection.pollIndex = polled_.size();
      polled_.push_back({connection.fd.get(), static_cast<short>(connection.out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
      if (connection.hasDeadline()) until = std::min(until, connection.deadline.at());
    }
    for (const auto& hosted : rooms_) {
      if (!hosted->room.deadline().passed()) until = std::min(until, hosted->room.deadline().at());
    }
    int timeoutMs = -1;
    if (until != Deadline::Clock::time_point::max()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Deadline::Clock::now()).count();
      timeoutMs = static_cast<int>(std::clamp<decltype(left)>(left, 0, 60000));
    }
    poll(polled_.data(), polled_.size(), timeoutMs);
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(wake_.get(), &count, sizeof count);
  }

  void acceptNew() {
    if (!listener_.valid()) return;
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd.valid()) {
        // Out of descriptors: a stranger makes room. Without one the kernel keeps the newcomer until the next turn.
        if ((errno == EMFILE || errno == ENFILE) && !dropOldestStranger()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return;
      }
      const auto strangers = std::count_if(connections_.begin(), connections_.end(), [](const Connection& connection) {
        return connection.fd.valid() && connection.state == Connection::State::proving;
      });
      if (static_cast<std::size_t>(strangers) >= kMaxStrangers) dropOldestStranger();
      Connection& connection = connections_.emplace_back();
      fd.guardFromForks();
      connection.fd = std::move(fd);
      connection.challenge = randomBytes<kNonceBytes>();
      connection.out = encodeChallenge(connection.challenge);
    }
  }

  bool dropOldestStranger() {
    for (Connection& connection : connections_) {  // in the order of their coming
      if (!connection.fd.valid() || connection.state != Connection::State::proving) continue;
      connection.fd.reset();
      return true;
    }
    return false;
  }

  void serve(Connection& connection) {
    if (!connection.fd.valid() || connection.pollIndex == 0 || polled_[connection.pollIndex].revents == 0) return;
    try {
      readAndHandle(connection);
    } catch (const std::exception& error) {
      drop(connection, error.what());
    }
  }

  void readAndHandle(Connection& connection) {
    char buffer[kReadBytes];
    // Before the secret is proven not a byte more than a hello is taken.
    const std::size_t wanted = connection.state == Connection::State::proving ? kHelloBytes - connection.in.size() : sizeof buffer;
    const ssize_t got = recv(connection.fd.get(), buffer, wanted, 0);
    if (got < 0) {
      if (errno != EAGAIN && errno != EINTR) drop(connection, strCat("its connection broke (", std::strerror(errno), ")"));
      return;
    }
    if (got == 0) {
      drop(connection, "its connection ended without a goodbye, so its process has died or given up");
      return;
    }
    if (connection.state == Connection::State::closing) return;  // nothing it says matters any more
    connection.in.append(buffer, static_cast<std::size_t>(got));
    if (connection.state == Connection::State::proving) {
      if (connection.in.size() == kHelloBytes) judgeHello(connection);
      return;
    }
    // Handling a frame may end the membership (the room fails, or all have left).
    while (connection.state == Connection::State::member) {
      const std::optional<Frame> frame = takeFrame(connection.in, kMaxMemberFrameBytes);
      if (!frame.has_value()) return;
      connection.hosted->room.handle(connection.rank, *frame);
    }
  }

  void judgeHello(Connection& connection) {
    const std::optional<RoomId> wanted = roomOfHello(connection.in);
    HostedRoom* hosted = nullptr;
    for (const auto& each : rooms_) {
      if (wanted.has_value() && roomOf(each->room.secret()) == *wanted) hosted = each.get();
    }
    const std::optional<Hello> hello =
        hosted != nullptr ? decodeHello(connection.in, hosted->room.secret(), connection.challenge) : std::nullopt;
    const bool isProbe = hello.has_value() && hello->rank == kProbeRank;
    if (!hello.has_value() || (isProbe && !hosted->room.gathering())) {
      log(LogLevel::debug, "the rendezvous on ", address_.text(),
          " dropped a connection that did not prove the secret of a waiting unique id");
      connection.fd.reset();
      return;
    }
    connection.in.clear();
    connection.out += asBytes(rootProof(hosted->room.secret(), connection.challenge, hello->nonce));
    const auto refusal = isProbe ? std::nullopt : hosted->room.admit(*hello);
    if (isProbe || refusal.has_value()) {
      if (refusal.has_value()) connection.out += encodeFrame(FrameType::failed, encodeFailure(*refusal));
      connection.state = Connection::State::closing;
      connection.deadline = Deadline::in(kGoodbyeLimit);
      return;
    }
    setControlOptions(connection.fd.get(), hosted->room.linkTimeout());
    connection.state = Connection::State::member;
    connection.hosted = hosted;
    connection.rank = static_cast<int>(hello->rank);
    hosted->connections.resize(hello->size, nullptr);
    hosted->connections[hello->rank] = &connection;
    hosted->room.announceIfComplete();
  }

  void enforceDeadline(Connection& connection) {
    if (connection.fd.valid() && connection.hasDeadline() && connection.deadline.passed()) connection.fd.reset();
  }

  void flush(Connection& connection) {
    while (connection.fd.valid() && !connection.out.empty()) {
      const ssize_t sent = ::send(connection.fd.get(), connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
      if (sent > 0) {
        connection.out.erase(0, static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN || errno == EINTR) {
        return;
      } else {
        drop(connection, strCat("its connection broke (", std::strerror(errno), ")"));
        return;
      }
    }
    if (connection.fd.valid() && connection.state == Connection::State::closing && !connection.shutDown) {
      connection.shutDown = true;
      shutdown(connection.fd.get(), SHUT_WR);
    }
  }

  void drop(Connection& connection, const std::string& why) {
    connection.fd.reset();
    if (connection.state != Connection::State::member) return;
    connection.state = Connection::State::closing;
    HostedRoom& hosted = *connection.hosted;
    hosted.connections[static_cast<std::size_t>(connection.rank)] = nullptr;
    hosted.room.memberGone(connection.rank, why);
  }

  SocketAddress address_;
  Fd listener_;
  const Fd wake_;
  std::thread thread_;

  mutable std::mutex mutex_;
  bool stop_ = false;
  bool ended_ = false;
  std::vector<std::unique_ptr<HostedRoom>> newRooms_;

  // Of the thread.
  std::vector<std::unique_ptr<HostedRoom>> rooms_;
  std::list<Connection> connections_;  // addresses stay valid
  std::vector<pollfd> polled_;
};

// All servers of this process. Ends them with the process, unless that is a forked copy, which has the memory of the threads but not the
// threads.
class Registry {
 public:
  Registry() : pid_(getpid()) {}
  ~Registry() {
    if (getpid() == pid_) return;
    for (auto& server : servers_) static_cast<void>(server.release());
  }

  SocketAddress open(const SocketAddress& wanted, const Secret& secret, RendezvousOptions options) {
    const std::lock_guard lock(mutex_);
    reap();
    auto room = std::make_unique<HostedRoom>(secret, std::move(options));
    if (wanted.port() != 0) {
      for (const auto& server : servers_) {
        if (server->address().port() == wanted.port() && server->address().sameHost(wanted) && server->addRoom(room))
          return server->address();
      }
    }
    SocketAddress address = wanted;
    Fd listener = listenOn(address);
    if (!listener.valid()) fail(qcclSystemError, "the rendezvous cannot listen on ", wanted.text(), ": another program has the port");
    auto server = std::make_unique<RendezvousServer>(std::move(listener), address);
    server->addRoom(room);
    server->start();
    servers_.push_back(std::move(server));
    return address;
  }

  int running() {
    const std::lock_guard lock(mutex_);
    reap();
    return static_cast<int>(servers_.size());
  }

 private:
  void reap() {
    std::erase_if(servers_, [](const auto& server) { return server->ended(); });
  }

  const pid_t pid_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<RendezvousServer>> servers_;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

SocketAddress openRendezvous(const SocketAddress& wanted, const Secret& secret, RendezvousOptions options) {
  return registry().open(wanted, secret, std::move(options));
}

int runningRendezvousServers() { return registry().running(); }

}  // namespace qccl::transport
