// What every extern "C" collective does around its body.
#pragma once

#include "api/group.hpp"
#include "api/guard.hpp"
#include "device/pointer_kind.hpp"

namespace qccl::api {

inline void requireNoStream(qcclStream_t stream) {
  if (stream != nullptr) fail(qcclInvalidArgument, "stream must be NULL: calls on host memory block");
}

// Where two buffers of a call are; NULL is nowhere. Throws Error(qcclInvalidArgument), which names them, if that is not one place, and if
// there is a stream for host memory.
device::PointerInfo placeOf(const char* firstName, const void* first, const char* secondName, const void* second, qcclStream_t stream);

// Finds out where the call's buffers are and which stream that takes.
void placeCall(collectives::Call* call, qcclStream_t stream, const char* inputName = "sendbuff");

// The same for a send or receive.
void placeExchange(collectives::PointToPoint* operation, qcclStream_t stream);

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

inline collectives::Call makeCall(qcclColl_t coll, const void* input, void* output, size_t count, qcclDataType_t dtype, qcclRedOp_t op,
                                  int root) {
  collectives::Call call;
  call.coll = coll;
  call.input = input;
  call.output = output;
  call.count = count;
  call.dtype = dtype;
  call.op = op;
  call.root = root;
  return call;
}

}  // namespace qccl::api
