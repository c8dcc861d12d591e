#include "memory/limit_adaptor.hpp"

#include "core/error.hpp"

namespace qccl::memory {

bool LimitAdaptor::fits(std::size_t bytes) const {
  const std::size_t used = inner().usage().usedBytes;
  return used <= limitBytes_ && bytes <= limitBytes_ - used;
}

void LimitAdaptor::refuse(std::string_view what, std::size_t bytes) const {
  const std::size_t used = inner().usage().usedBytes;
  fail(qcclInvalidUsage, "pool ", inner().name(), ": ", bytes, " bytes for ", what, " would exceed the limit of ", limitBytes_,
       " bytes by ", used + bytes - limitBytes_, ": ", used, " are in use; free some, or raise the limit");
}

Place LimitAdaptor::save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) {
  if (!fits(bytes.total())) refuse(describe(id), bytes.total());
  return inner().save(id, bytes, stream);
}

void* LimitAdaptor::allocate(std::string_view name, std::size_t bytes, StreamHandle stream) {
  if (!fits(bytes)) refuse(name, bytes);
  return inner().allocate(name, bytes, stream);
}

}  // namespace qccl::memory
