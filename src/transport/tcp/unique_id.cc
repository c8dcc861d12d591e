#include "transport/tcp/unique_id.hpp"

#include <cstring>

#include "core/error.hpp"

namespace qccl::transport {
namespace {

constexpr std::array<std::uint8_t, 4> kMagic = {'q', 'c', 'i', 'd'};
constexpr std::uint8_t kLayoutVersion = 1;
constexpr std::uint8_t kFlagMayStartLater = 1;

struct Layout {
  std::array<std::uint8_t, 4> magic;
  std::uint8_t version;
  std::uint8_t family;
  std::array<std::uint8_t, 2> port;
  std::array<std::uint8_t, 16> address;
  std::array<std::uint8_t, 4> scope;
  std::uint8_t flags;
  std::array<std::uint8_t, 3> zeros;
  Secret secret;
  std::array<std::uint8_t, 64> reserved;
};
static_assert(sizeof(Layout) == QCCL_UNIQUE_ID_BYTES);
static_assert(offsetof(Layout, port) == 6 && offsetof(Layout, scope) == 24 && offsetof(Layout, secret) == 32 &&
              offsetof(Layout, reserved) == 64);

}  // namespace

qcclUniqueId encodeUniqueId(const UniqueIdFields& fields) {
  Layout layout{};
  layout.magic = kMagic;
  layout.version = kLayoutVersion;
  layout.port = {static_cast<std::uint8_t>(fields.address.port() >> 8), static_cast<std::uint8_t>(fields.address.port())};
  if (fields.address.family() == AF_INET) {
    layout.family = 4;
    std::memcpy(layout.address.data(), &fields.address.v4().sin_addr, 4);
  } else {
    layout.family = 6;
    std::memcpy(layout.address.data(), &fields.address.v6().sin6_addr, 16);
    const std::uint32_t scope = htonl(fields.address.v6().sin6_scope_id);
    std::memcpy(layout.scope.data(), &scope, sizeof scope);
  }
  layout.flags = fields.mayStartLater ? kFlagMayStartLater : 0;
  layout.secret = fields.secret;
  qcclUniqueId id;
  std::memcpy(id.internal, &layout, sizeof layout);
  return id;
}

UniqueIdFields decodeUniqueId(const qcclUniqueId& id) {
  Layout layout;
  std::memcpy(&layout, id.internal, sizeof layout);
  const bool known = layout.magic == kMagic && layout.version == kLayoutVersion && (layout.family == 4 || layout.family == 6) &&
                     (layout.flags & ~kFlagMayStartLater) == 0 && layout.zeros == decltype(layout.zeros){} &&
                     layout.reserved == decltype(layout.reserved){};
  if (!known) {
    fail(qcclInvalidArgument,
         "these 128 bytes are not a unique id of this version of qccl: pass what qcclGetUniqueId made, unchanged, to every rank, with the "
         "same library on all");
  }
  UniqueIdFields fields;
  const auto port = static_cast<std::uint16_t>(layout.port[0] << 8 | layout.port[1]);
  if (layout.family == 4) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    std::memcpy(&address.sin_addr, layout.address.data(), 4);
    fields.address = SocketAddress(reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } else {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    std::memcpy(&address.sin6_addr, layout.address.data(), 16);
    std::uint32_t scope = 0;
    std::memcpy(&scope, layout.scope.data(), sizeof scope);
    address.sin6_scope_id = ntohl(scope);
    fields.address = SocketAddress(reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  fields.address.setPort(port);
  fields.mayStartLater = (layout.flags & kFlagMayStartLater) != 0;
  fields.secret = layout.secret;
  return fields;
}

RoomId roomOf(const Secret& secret) {
  const Digest digest = hmacSha256(asBytes(secret), "qccl room");
  RoomId room;
  std::memcpy(room.data(), digest.data(), room.size());
  return room;
}

}  // namespace qccl::transport
