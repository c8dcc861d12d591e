#include "device/pointer_kind.hpp"

#include "device/cuda/check.cuh"
#include "device/cuda/devices.hpp"

namespace qccl::device {

PointerInfo pointerInfo(const void* pointer) {
  static const bool hasDevices = cuda::deviceCount() > 0;
  if (!hasDevices) return {};
  cudaPointerAttributes attributes;
  QCCL_CUDA_CHECK(cudaPointerGetAttributes(&attributes, pointer));
  const bool onDevice = attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
  return onDevice ? PointerInfo{PointerKind::device, attributes.device} : PointerInfo{};
}

}  // namespace qccl::device
