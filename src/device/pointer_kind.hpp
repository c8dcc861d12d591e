// Whose memory a pointer points to.
#pragma once

namespace qccl::device {

enum class PointerKind {
  host,    // the processor's, page-locked or not
  device,  // a GPU's: kernels may use it, the processor may not. Managed memory counts as this
};

struct PointerInfo {
  PointerKind kind = PointerKind::host;
  int device = -1;  // number of the GPU; -1 for host memory

  bool operator==(const PointerInfo&) const = default;
};

// Host for everything that no GPU runtime knows, and where there is no GPU, no driver or no CUDA in this build. Throws
// Error(qcclUnhandledCudaError) if the runtime fails.
PointerInfo pointerInfo(const void* pointer);

}  // namespace qccl::device
