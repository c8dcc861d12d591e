#include "transport/tcp/handshake.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace qccl::transport {
namespace {

enum class IoResult { done, ended, timedOut };

bool waitReady(int fd, short events, Deadline deadline) {
  while (!deadline.passed()) {
    pollfd waiting{fd, events, 0};
    if (poll(&waiting, 1, static_cast<int>(std::min<std::chrono::milliseconds::rep>(deadline.left().count(), 1000))) > 0) return true;
  }
  return false;
}

IoResult receiveExactly(int fd, std::string& bytes, std::size_t wanted, Deadline deadline) {
  bytes.resize(wanted);
  std::size_t have = 0;
  while (have < wanted) {
    const ssize_t got = recv(fd, bytes.data() + have, wanted - have, 0);
    if (got > 0) {
      have += static_cast<std::size_t>(got);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      return IoResult::ended;
    } else if (!waitReady(fd, POLLIN, deadline)) {
      return IoResult::timedOut;
    }
  }
  return IoResult::done;
}

IoResult sendAll(int fd, std::string_view bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
      return IoResult::ended;
    } else if (!waitReady(fd, POLLOUT, deadline)) {
      return IoResult::timedOut;
    }
  }
  return IoResult::done;
}

}  // namespace

HandshakeResult shakeHands(const UniqueIdFields& id, Hello hello, Deadline deadline, Fd& socket) {
  Fd fd;
  switch (connectTo(id.address, deadline, fd)) {
    case ConnectResult::refused:
      return HandshakeResult::nobodyThere;
    case ConnectResult::timedOut:
      return HandshakeResult::timedOut;
    case ConnectResult::connected:
      break;
  }
  std::string bytes;
  if (const IoResult result = receiveExactly(fd.get(), bytes, kChallengeBytes, deadline); result != IoResult::done) {
    return result == IoResult::ended ? HandshakeResult::tryAgain : HandshakeResult::timedOut;
  }
  const std::optional<Nonce> challenge = decodeChallenge(bytes);
  if (!challenge.has_value()) return HandshakeResult::impostor;
  hello.room = roomOf(id.secret);
  hello.nonce = randomBytes<kNonceBytes>();
  hello.process = thisProcess();
  if (const IoResult result = sendAll(fd.get(), encodeHello(hello, id.secret, *challenge), deadline); result != IoResult::done) {
    return result == IoResult::ended ? HandshakeResult::tryAgain : HandshakeResult::timedOut;
  }
  if (const IoResult result = receiveExactly(fd.get(), bytes, sizeof(Digest), deadline); result != IoResult::done) {
    return result == IoResult::ended ? HandshakeResult::hungUp : HandshakeResult::timedOut;
  }
  Digest proof;
  std::memcpy(proof.data(), bytes.data(), proof.size());
  if (!equalDigests(proof, rootProof(id.secret, *challenge, hello.nonce))) return HandshakeResult::impostor;
  socket = std::move(fd);
  return HandshakeResult::accepted;
}

}  // namespace qccl::transport
