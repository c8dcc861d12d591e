// A build without CUDA: no pointer is one to GPU memory (device/cpu/pointer_kind.cc), so nothing here is reached.
#include "collectives/device_calls.hpp"

#include "core/error.hpp"

namespace qccl::collectives {

void copyOnDevice(const Call&, std::size_t) { fail(qcclInternalError, "defect in qccl: a call on GPU memory in a build without CUDA"); }

void requireDeviceCall(const Call&, const DeviceCallOptions&) {
  fail(qcclInternalError, "defect in qccl: a call on GPU memory in a build without CUDA");
}

void requireDeviceExchange(const char*, const DeviceCallOptions&) {
  fail(qcclInternalError, "defect in qccl: a call on GPU memory in a build without CUDA");
}

std::unique_ptr<DeviceCalls> makeDeviceCalls(transport::Control&, const std::vector<int>&, int, const DeviceCallOptions&) {
  fail(qcclInternalError, "defect in qccl: a call on GPU memory in a build without CUDA");
}

}  // namespace qccl::collectives
