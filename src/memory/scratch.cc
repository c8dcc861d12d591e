#include "memory/scratch.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace qccl::memory {

Scratch::Scratch(std::string owner, MemorySpace& space, std::byte* first, std::byte* second, std::size_t halfBytes)
    : owner_(std::move(owner)), space_(space), halfBytes_(halfBytes) {
  halves_[0].data = first;
  halves_[1].data = second;
}

void* Scratch::take(std::string_view name, std::size_t bytes, StreamHandle stream) {
  if (bytes == 0 || bytes > halfBytes_) {
    fail(qcclInvalidUsage, owner_, ": scratch for ", name, " needs ", bytes, " bytes, the plan has two halves of ", halfBytes_,
         "; plan with the bytes of the largest tensor as it is computed with");
  }
  requireStream(space_, stream, [&] { return strCat(owner_, ": scratch for ", name); });
  if (halves_[next_].taken) next_ = 1 - next_;
  Half& half = halves_[next_];
  if (half.taken) {
    fail(qcclInvalidUsage, owner_, ": no scratch for ", name, ": both halves are taken, by ", halves_[0].user.name, " and ",
         halves_[1].user.name, "; free one first");
  }
  orderAfter(space_, half.streams, stream);
  half.streams.clear();
  half.streams.add(stream);
  half.user = {std::string(name), bytes};
  half.taken = true;
  next_ = 1 - next_;
  return half.data;
}

Named Scratch::giveBack(void* memory, StreamHandle stream) {
  const auto half = std::find_if(halves_.begin(), halves_.end(), [&](const Half& h) { return h.data == memory; });
  if (half == halves_.end() || halfBytes_ == 0) {
    fail(qcclInvalidUsage, owner_, ": ", memory, " is no scratch of this pool; free what allocate returned");
  }
  if (!half->taken) {
    fail(qcclInvalidUsage, owner_, ": scratch ", half->user.name.empty() ? "that nobody took" : half->user.name, " was freed already");
  }
  requireStream(space_, stream, [&] { return strCat(owner_, ": scratch ", half->user.name); });
  half->streams.add(stream);
  half->taken = false;
  return half->user;
}

}  // namespace qccl::memory
