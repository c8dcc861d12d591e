#include "memory/arena.hpp"

#include "core/error.hpp"

namespace qccl::memory {
namespace {

std::byte* allocated(const std::string& what, MemorySpace& space, std::size_t bytes) {
  try {
    return static_cast<std::byte*>(space.allocate(bytes, kPlaceAlign));
  } catch (const Error& error) {
    fail(error.code(), what, ": no ", bytes, " bytes of ", space.name(), ": ", error.what());
  } catch (const std::bad_alloc&) {
    fail(qcclSystemError, what, ": no ", bytes, " bytes of ", space.name(), ": out of memory");
  }
}

}  // namespace

Arena::Arena(const std::string& what, MemorySpace& space, std::size_t bytes)
    : space_(space), bytes_(bytes), data_(allocated(what, space, bytes)) {}

Arena::~Arena() { space_.deallocate(data_, bytes_, kPlaceAlign); }

}  // namespace qccl::memory
