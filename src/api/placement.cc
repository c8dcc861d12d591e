// Where the buffers of a call are.
#include "api/collective_guard.hpp"
#include "device/pointer_kind.hpp"

namespace qccl::api {
namespace {

std::string placeName(const device::PointerInfo& info) {
  return info.kind == device::PointerKind::host ? "host memory" : strCat("the memory of GPU ", info.device);
}

}  // namespace

void placeCall(collectives::Call* call, qcclStream_t stream) {
  device::PointerInfo place;
  if (call->input != nullptr) place = device::pointerInfo(call->input);
  if (call->output != nullptr && call->output != call->input) {
    const device::PointerInfo output = device::pointerInfo(call->output);
    if (call->input != nullptr && place != output) {
      fail(qcclInvalidArgument, "sendbuff is in ", placeName(place), ", recvbuff in ", placeName(output), "; pass buffers of one place");
    }
    place = output;
  }
  if (place.kind == device::PointerKind::host) {
    requireNoStream(stream);
    return;
  }
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

void requireHostMemory(const char* what, const void* buffer) {
  if (buffer == nullptr || device::pointerInfo(buffer).kind == device::PointerKind::host) return;
  fail(qcclInvalidArgument, what, ": this version takes host memory only, and the buffer is GPU memory; copy it, or use NCCL");
}

}  // namespace qccl::api
