#include "transport/tcp/socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "core/error.hpp"

namespace qccl::transport {
namespace {

constexpr int kListenBacklog = 1024;

// The descriptors that forked children must not keep. Locked while a fork copies it, so that the child sees it whole.
class ForkGuard {
 public:
  ForkGuard() : null_(open("/dev/null", O_RDWR | O_CLOEXEC)) {}

  void add(int fd) {
    const std::lock_guard lock(mutex_);
    fds_.push_back(fd);
  }
  void remove(int fd) {
    const std::lock_guard lock(mutex_);
    std::erase(fds_, fd);
  }

  void beforeFork() { mutex_.lock(); }
  void afterFork() { mutex_.unlock(); }
  void inChild() {
    // The number stays taken: the child's copies of our objects would otherwise close somebody else's descriptor one day.
    for (const int fd : fds_) dup3(null_, fd, O_CLOEXEC);
    mutex_.unlock();
  }

 private:
  const int null_;
  std::mutex mutex_;
  std::vector<int> fds_;
};

ForkGuard& forkGuard() {
  static ForkGuard& guard = *new ForkGuard;  // never destroyed: forks and background threads end when they end
  static const int registered =
      pthread_atfork([] { forkGuard().beforeFork(); }, [] { forkGuard().afterFork(); }, [] { forkGuard().inChild(); });
  static_cast<void>(registered);  // fails only without memory; then children keep copies
  return guard;
}

struct InterfaceAddress {
  std::string name;
  SocketAddress address;
  bool loopback = false;
  bool running = false;  // has a link
};

int preference(const InterfaceAddress& candidate) {
  if (candidate.address.family() == AF_INET) return 0;
  return IN6_IS_ADDR_LINKLOCAL(&candidate.address.v6().sin6_addr) ? 2 : 1;
}

// All addresses of interfaces that are up, in the system's order.
std::vector<InterfaceAddress> interfaceAddresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) failErrno("the network interfaces cannot be listed (getifaddrs)", errno);
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
  std::vector<InterfaceAddress> found;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0) continue;
    const int family = at->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const socklen_t bytes = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    found.push_back(
        {at->ifa_name, SocketAddress(at->ifa_addr, bytes), (at->ifa_flags & IFF_LOOPBACK) != 0, (at->ifa_flags & IFF_RUNNING) != 0});
  }
  return found;
}

// The row that QCCL_INTERFACE means.
InterfaceAddress namedInterface(const std::string& name) {
  const std::vector<InterfaceAddress> all = interfaceAddresses();
  const InterfaceAddress* best = nullptr;
  const auto wanted = SocketAddress::parse(name);
  for (const InterfaceAddress& candidate : all) {
    const bool fits = wanted.has_value() ? wanted->sameHost(candidate.address) : candidate.name == name;
    if (fits && (best == nullptr || preference(candidate) < preference(*best))) best = &candidate;
  }
  if (best != nullptr) return *best;
  std::string names;
  for (const InterfaceAddress& candidate : all) {
    if (names.find(candidate.name) == std::string::npos) names += (names.empty() ? "" : ", ") + candidate.name;
  }
  fail(qcclInvalidArgument, "QCCL_INTERFACE=", name,
       " is neither an interface of this host that is up and has an address nor one of its addresses; up are: ", names);
}

}  // namespace

void Fd::reset() {
  if (guarded_) forkGuard().remove(fd_);
  guarded_ = false;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void Fd::guardFromForks() {
  if (guarded_ || fd_ < 0) return;
  forkGuard().add(fd_);
  guarded_ = true;
}

SocketAddress::SocketAddress(const sockaddr* address, socklen_t bytes) {
  QCCL_CHECK((address->sa_family == AF_INET && bytes >= sizeof(sockaddr_in)) ||
             (address->sa_family == AF_INET6 && bytes >= sizeof(sockaddr_in6)));
  std::memcpy(&storage_, address, std::min<std::size_t>(bytes, sizeof storage_));
}

std::optional<SocketAddress> SocketAddress::parse(const std::string& text) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (text.empty() || getaddrinfo(text.c_str(), nullptr, &hints, &list) != 0) return std::nullopt;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  return SocketAddress(list->ai_addr, list->ai_addrlen);
}

std::uint16_t SocketAddress::port() const { return ntohs(family() == AF_INET ? v4().sin_port : v6().sin6_port); }

void SocketAddress::setPort(std::uint16_t port) {
  if (family() == AF_INET) {
    reinterpret_cast<sockaddr_in&>(storage_).sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6&>(storage_).sin6_port = htons(port);
  }
}

bool SocketAddress::sameHost(const SocketAddress& other) const {
  if (family() != other.family()) return false;
  if (family() == AF_INET) return v4().sin_addr.s_addr == other.v4().sin_addr.s_addr;
  return IN6_ARE_ADDR_EQUAL(&v6().sin6_addr, &other.v6().sin6_addr) &&
         (v6().sin6_scope_id == 0 || other.v6().sin6_scope_id == 0 || v6().sin6_scope_id == other.v6().sin6_scope_id);
}

std::string SocketAddress::text() const {
  char host[128] = "?";
  getnameinfo(get(), bytes(), host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  return family() == AF_INET ? strCat(host, ":", port()) : strCat("[", host, "]:", port());
}

SocketAddress chooseListenAddress(const Settings& settings) {
  if (!settings.interfaceName.empty()) {
    InterfaceAddress named = namedInterface(settings.interfaceName);
    named.address.setPort(0);
    return named.address;
  }
  const std::vector<InterfaceAddress> all = interfaceAddresses();
  const auto first =
      std::find_if(all.begin(), all.end(), [](const InterfaceAddress& candidate) { return !candidate.loopback && candidate.running; });
  if (first == all.end()) return *SocketAddress::parse("127.0.0.1");
  const InterfaceAddress* best = &*first;
  for (const InterfaceAddress& candidate : all) {
    if (candidate.name == first->name && preference(candidate) < preference(*best)) best = &candidate;
  }
  SocketAddress address = best->address;
  address.setPort(0);
  return address;
}

std::string chosenInterface(const Settings& settings) {
  return settings.interfaceName.empty() ? "" : namedInterface(settings.interfaceName).name;
}

SocketAddress resolve(const std::string& hostAndPort) {
  const std::size_t colon = hostAndPort.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == hostAndPort.size()) {
    fail(qcclInvalidArgument, "\"", hostAndPort, "\" is not of the form host:port or [IPv6 address]:port");
  }
  std::string host = hostAndPort.substr(0, colon);
  const std::string port = hostAndPort.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (port.find_first_not_of("0123456789") != std::string::npos || port.size() > 5 || std::stoul(port) == 0 || std::stoul(port) > 65535) {
    fail(qcclInvalidArgument, "\"", hostAndPort, "\": the port must be a number from 1 to 65535");
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int status = getaddrinfo(host.c_str(), port.c_str(), &hints, &list); status != 0) {
    fail(qcclInvalidArgument, "the host name in \"", hostAndPort, "\" cannot be resolved: ", gai_strerror(status));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  return SocketAddress(list->ai_addr, list->ai_addrlen);
}

Fd listenOn(SocketAddress& address) {
  Fd fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) failErrno("no socket for the rendezvous", errno);
  fd.guardFromForks();
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd.get(), address.get(), address.bytes()) != 0 || listen(fd.get(), kListenBacklog) != 0) {
    if (errno == EADDRINUSE) return Fd();
    failErrno(
        strCat("the rendezvous cannot listen on ", address.text(), " (is this an address of this host? set QCCL_INTERFACE to one that is)"),
        errno);
  }
  sockaddr_storage bound{};
  socklen_t bytes = sizeof bound;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &bytes) != 0) failErrno("getsockname", errno);
  address = SocketAddress(reinterpret_cast<sockaddr*>(&bound), bytes);
  return fd;
}

ConnectResult connectTo(const SocketAddress& address, Deadline deadline, Fd& fd) {
  fd = Fd(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) failErrno("no socket for the control channel", errno);
  fd.guardFromForks();
  int error = connect(fd.get(), address.get(), address.bytes()) == 0 ? 0 : errno;
  while (error == EINPROGRESS || error == EINTR) {
    pollfd waiting{fd.get(), POLLOUT, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(std::min<std::chrono::milliseconds::rep>(deadline.left().count(), 1000)));
    if (ready > 0) {
      socklen_t bytes = sizeof error;
      getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &bytes);
    } else if (deadline.passed()) {
      return ConnectResult::timedOut;
    }
  }
  if (error == 0) return ConnectResult::connected;
  if (error == ECONNREFUSED || error == ECONNRESET || error == ECONNABORTED) return ConnectResult::refused;
  if (error == ETIMEDOUT || error == EAGAIN) return ConnectResult::timedOut;
  failErrno(strCat("the rendezvous at ", address.text(), " cannot be reached from this host"), error);
}

void setControlOptions(int fd, std::chrono::milliseconds linkTimeout) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  // Silence: a first probe after a third of the time, then one every ninth; unanswered data: the whole time. What the kernel refuses keeps
  // its default.
  const int seconds = static_cast<int>(std::max<std::chrono::milliseconds::rep>(linkTimeout.count() / 1000, 3));
  const int idle = std::max(seconds / 3, 1);
  const int interval = std::max(seconds / 9, 1);
  const int probes = std::max((seconds - idle) / interval, 1);
  const unsigned userTimeoutMs = static_cast<unsigned>(seconds) * 1000;
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &userTimeoutMs, sizeof userTimeoutMs);
}

}  // namespace qccl::transport
