// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104), for proving the secret of a unique id without sending it. Here and not from a library
// because libqccl needs nothing but libc at load time.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace qccl::transport {

using Digest = std::array<std::uint8_t, 32>;

// Of bytes, which need not be text.
Digest sha256(std::string_view message);
Digest hmacSha256(std::string_view key, std::string_view message);

// Takes the same time wherever the difference is.
bool equalDigests(const Digest& a, const Digest& b);

inline std::string_view asBytes(const Digest& digest) { return {reinterpret_cast<const char*>(digest.data()), digest.size()}; }

}  // namespace qccl::transport
