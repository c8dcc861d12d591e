// Without CUDA all memory is the host's.
#include "device/pointer_kind.hpp"

namespace qccl::device {

PointerInfo pointerInfo(const void*) { return {}; }

}  // namespace qccl::device
