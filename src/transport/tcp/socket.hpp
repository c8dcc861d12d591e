// TCP sockets as objects: descriptors that close themselves, addresses of both families, and connecting with a deadline.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "core/deadline.hpp"
#include "core/settings.hpp"

namespace qccl::transport {

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)), guarded_(std::exchange(other.guarded_, false)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
      guarded_ = std::exchange(other.guarded_, false);
    }
    return *this;
  }
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void reset();

  // Takes the descriptor away from children forked from now on (there it becomes /dev/null): a copy of a connection in a child would hide
  // the death of this process from the other side.
  void guardFromForks();

 private:
  int fd_ = -1;
  bool guarded_ = false;
};

// An IPv4 or IPv6 address with a port.
class SocketAddress {
 public:
  SocketAddress() = default;
  SocketAddress(const sockaddr* address, socklen_t bytes);

  // "10.0.0.1", "fe80::1%eth0"; nullopt if the text is no address of either family. Port 0.
  static std::optional<SocketAddress> parse(const std::string& text);

  int family() const { return storage_.ss_family; }
  std::uint16_t port() const;
  void setPort(std::uint16_t port);
  bool sameHost(const SocketAddress& other) const;  // the address without the port
  std::string text() const;                         // "10.0.0.1:4711", "[fe80::1%eth0]:4711"

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t bytes() const { return family() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6); }
  const sockaddr_in& v4() const { return reinterpret_cast<const sockaddr_in&>(storage_); }
  const sockaddr_in6& v6() const { return reinterpret_cast<const sockaddr_in6&>(storage_); }

 private:
  sockaddr_storage storage_{};
};

// Where others can reach this process: QCCL_INTERFACE (an address, or an interface's first address: IPv4 before IPv6, link-local last) if
// set, else the first interface that is up and not loopback, else loopback. Port 0. Throws Error(qcclInvalidArgument) when QCCL_INTERFACE
// names nothing of this host.
SocketAddress chooseListenAddress(const Settings& settings);

// The name of the interface that QCCL_INTERFACE means; "" if it is not set. Errors as above.
std::string chosenInterface(const Settings& settings);

// The addresses of "host:port", "[v6]:port", by the system's resolver. Throws Error(qcclInvalidArgument).
SocketAddress resolve(const std::string& hostAndPort);

// A listening socket, non-blocking; `address` gets the port that was chosen. Throws Error(qcclSystemError); nothing is thrown for an
// address in use, the result is invalid then.
Fd listenOn(SocketAddress& address);

// How connecting ended. refused: nobody listens there (now).
enum class ConnectResult { connected, refused, timedOut };
// Non-blocking socket. Throws Error(qcclSystemError) for what waiting does not mend (no route, no permission).
ConnectResult connectTo(const SocketAddress& address, Deadline deadline, Fd& fd);

// For the lasting connections of a control channel: no delay for small frames; a peer whose host or link is gone is noticed within about
// `linkTimeout`.
void setControlOptions(int fd, std::chrono::milliseconds linkTimeout);

}  // namespace qccl::transport
