// A build without CUDA: no pool and no pointer is in GPU memory, so nothing here is reached.
#include "core/error.hpp"
#include "memory/fused.hpp"

namespace qccl::memory {
namespace {

[[noreturn]] void failWithoutCuda() { fail(qcclInternalError, "defect in qccl: a call on GPU memory in a build without CUDA"); }

}  // namespace

void storeTensorOnDevice(const DeviceQueue&, const void*, std::size_t, qcclDataType_t, const TensorFormat&, const Place&) {
  failWithoutCuda();
}

void loadTensorOnDevice(const DeviceQueue&, const Place&, std::size_t, qcclDataType_t, const TensorFormat&, void*) { failWithoutCuda(); }

void rmsNormForwardOnDevice(const DeviceQueue&, const RmsNormForward&) { failWithoutCuda(); }

void rmsNormBackwardOnDevice(const DeviceQueue&, const RmsNormBackward&) { failWithoutCuda(); }

void swigluForwardOnDevice(const DeviceQueue&, const SwigluForward&) { failWithoutCuda(); }

void swigluBackwardOnDevice(const DeviceQueue&, const SwigluBackward&) { failWithoutCuda(); }

}  // namespace qccl::memory
