#include "transport/tcp/random.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "core/error.hpp"

namespace qccl::transport {

void fillRandom(void* buffer, std::size_t bytes) {
  auto* at = static_cast<char*>(buffer);
  while (bytes > 0) {
    const ssize_t got = getrandom(at, bytes, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      failErrno("the kernel gave no random bytes (getrandom)", errno);
    }
    at += got;
    bytes -= static_cast<std::size_t>(got);
  }
}

ProcessIdentity thisProcess() {
  static std::mutex mutex;
  static ProcessIdentity& identity = *new ProcessIdentity;  // never destroyed: background threads may ask until the very end
  const std::lock_guard lock(mutex);
  const auto pid = static_cast<std::uint32_t>(getpid());
  if (identity.pid != pid) {  // first use, or this is a forked child
    identity.token = randomBytes<16>();
    identity.pid = pid;
    char host[64] = {};
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    identity.host = host;
  }
  return identity;
}

std::string toHex(const void* data, std::size_t bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  const auto* at = static_cast<const std::uint8_t*>(data);
  std::string text;
  text.reserve(2 * bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    text += digits[at[i] >> 4];
    text += digits[at[i] & 15];
  }
  return text;
}

}  // namespace qccl::transport
