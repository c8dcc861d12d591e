// Where the buffers of a call are.
#include "api/collective_guard.hpp"

namespace qccl::api {
namespace {

std::string placeName(const device::PointerInfo& info) {
  return info.kind == device::PointerKind::host ? "host memory" : strCat("the memory of GPU ", info.device);
}

}  // namespace

device::PointerInfo placeOf(const char* firstName, const void* first, const char* secondName, const void* second, qcclStream_t stream) {
  device::PointerInfo place;
  if (first != nullptr) place = device::pointerInfo(first);
  if (second != nullptr && second != first) {
    const device::PointerInfo other = device::pointerInfo(second);
    if (first != nullptr && place != other) {
      fail(qcclInvalidArgument, firstName, " is in ", placeName(place), ", ", secondName, " in ", placeName(other),
           "; pass buffers of one place");
    }
    place = other;
  }
  if (place.kind == device::PointerKind::host) requireNoStream(stream);
  return place;
}

void placeCall(collectives::Call* call, qcclStream_t stream, const char* inputName) {
  const device::PointerInfo place = placeOf(inputName, call->input, "recvbuff", call->output, stream);
  if (place.kind == device::PointerKind::host) return;
  call->device = place.device;
  call->stream = static_cast<device::StreamHandle>(stream);
}

void placeExchange(collectives::PointToPoint* operation, qcclStream_t stream) {
  device::PointerInfo place;
  if (operation->buffer != nullptr) place = device::pointerInfo(operation->buffer);
  if (place.kind == device::PointerKind::host) {
    requireNoStream(stream);
    return;
  }
  operation->device = place.device;
  operation->stream = static_cast<device::StreamHandle>(stream);
}

}  // namespace qccl::api
