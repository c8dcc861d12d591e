#include "transport/launch_board.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/error.hpp"
#include "transport/tcp/random.hpp"

namespace qccl::transport {
namespace {

// Layout: the id of the launch, then slots of one flag (1: published) and one unique id.
constexpr std::size_t kIdBytes = 32;
struct Slot {
  std::uint64_t published = 0;
  qcclUniqueId id{};
};

off_t slotOffset(std::uint64_t index) { return static_cast<off_t>(kIdBytes + index * sizeof(Slot)); }

void writeAt(int fd, const void* data, std::size_t bytes, off_t offset) {
  if (pwrite(fd, data, bytes, offset) != static_cast<ssize_t>(bytes))
    failErrno("the local launcher's board of unique ids cannot be written", errno);
}

bool readAt(int fd, void* data, std::size_t bytes, off_t offset) { return pread(fd, data, bytes, offset) == static_cast<ssize_t>(bytes); }

}  // namespace

LaunchBoard LaunchBoard::create() {
  Fd fd(memfd_create("qccl-launch", 0));
  if (!fd.valid()) failErrno("no memory file for the local launcher (memfd_create)", errno);
  const auto random = randomBytes<kIdBytes / 2>();
  std::string id = toHex(random.data(), random.size());
  writeAt(fd.get(), id.data(), id.size(), 0);
  return {std::move(fd), std::move(id)};
}

LaunchBoard LaunchBoard::inherited() {
  const char* const number = std::getenv("QCCL_LAUNCH_BOARD");
  const char* const id = std::getenv("QCCL_LAUNCH_ID");
  char found[kIdBytes] = {};
  char* end = nullptr;
  const long fd = number != nullptr ? std::strtol(number, &end, 10) : -1;
  const bool usable = id != nullptr && std::strlen(id) == kIdBytes && fd >= 0 && fd < 1 << 20 && end != number && *end == '\0' &&
                      readAt(static_cast<int>(fd), found, sizeof found, 0) && std::memcmp(found, id, sizeof found) == 0;
  if (!usable) {
    fail(qcclInvalidUsage,
         "the environment names a rank of qccl's local launcher, but this process was not started by it (its descriptors are closed): "
         "unset the "
         "variables QCCL_LAUNCH_*, or start the ranks with the launcher directly");
  }
  // A descriptor of our own, not inherited by this rank's children; the inherited one stays for later calls.
  Fd copy(fcntl(static_cast<int>(fd), F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) failErrno("no descriptor for the local launcher's board of unique ids", errno);
  fcntl(static_cast<int>(fd), F_SETFD, FD_CLOEXEC);
  return {std::move(copy), id};
}

void LaunchBoard::publish(std::uint64_t index, const qcclUniqueId& id) const {
  const std::uint64_t published = 1;
  writeAt(fd_.get(), &id, sizeof id, slotOffset(index) + static_cast<off_t>(offsetof(Slot, id)));
  writeAt(fd_.get(), &published, sizeof published, slotOffset(index));
}

std::optional<qcclUniqueId> LaunchBoard::read(std::uint64_t index) const {
  Slot slot;
  if (!readAt(fd_.get(), &slot.published, sizeof slot.published, slotOffset(index)) || slot.published != 1) return std::nullopt;
  if (!readAt(fd_.get(), &slot.id, sizeof slot.id, slotOffset(index) + static_cast<off_t>(offsetof(Slot, id)))) return std::nullopt;
  return slot.id;
}

}  // namespace qccl::transport
