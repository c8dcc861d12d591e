// Random bytes from the kernel, and what tells one process from another.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace qccl::transport {

// Fills the buffer with unpredictable bytes. Throws Error(qcclSystemError).
void fillRandom(void* buffer, std::size_t bytes);

template <std::size_t N>
std::array<std::uint8_t, N> randomBytes() {
  std::array<std::uint8_t, N> bytes;
  fillRandom(bytes.data(), bytes.size());
  return bytes;
}

// Who this process is: for finding out whether two ranks share a process, and for sentences about them.
struct ProcessIdentity {
  std::array<std::uint8_t, 16> token{};  // random; a forked child has another
  std::uint32_t pid = 0;
  std::string host;
};
ProcessIdentity thisProcess();

// Lower-case hexadecimal.
std::string toHex(const void* data, std::size_t bytes);

}  // namespace qccl::transport
