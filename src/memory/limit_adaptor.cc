#include "memory/limit_adaptor.hpp"

#include "core/error.hpp"

namespace qccl::memory {

void LimitAdaptor::require(std::string_view name, std::size_t bytes) const {
  const std::size_t used = inner().usage().usedBytes;
  if (used <= limitBytes_ && bytes <= limitBytes_ - used) return;
  fail(qcclInvalidUsage, "pool ", inner().name(), ": ", bytes, " bytes for ", name, " would exceed the limit of ", limitBytes_,
       " bytes by ", used + bytes - limitBytes_, ": ", used, " are in use; free some, or raise the limit");
}

Place LimitAdaptor::save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) {
  require(id.name, bytes.total());
  return inner().save(id, bytes, stream);
}

void* LimitAdaptor::allocate(std::string_view name, std::size_t bytes, StreamHandle stream) {
  require(name, bytes);
  return inner().allocate(name, bytes, stream);
}

}  // namespace qccl::memory
