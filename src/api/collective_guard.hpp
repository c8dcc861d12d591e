// What every extern "C" collective does around its body.
#pragma once

#include "api/group.hpp"
#include "api/guard.hpp"

namespace qccl::api {

inline void requireNoStream(qcclStream_t stream) {
  if (stream != nullptr) fail(qcclInvalidArgument, "stream must be NULL: this build works on host memory and its calls block");
}

// guard, with refusals remembered by the group they happen in.
template <typename Body>
qcclResult_t guardCall(Body body) noexcept {
  return guard([&] {
    try {
      body();
    } catch (const Error& error) {
      latchGroupError(error);
      throw;
    }
  });
}

}  // namespace qccl::api
