#include "model/cpu/simd/kernels.hpp"

namespace qccl::train::simd {

namespace base {
extern const Kernels kTable;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kTable;
}
namespace avx512 {
extern const Kernels kTable;
}
#endif

std::vector<const Kernels*> allKernels() {
  std::vector<const Kernels*> sets = {&base::kTable};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) sets.push_back(&avx2::kTable);
  if (__builtin_cpu_supports("avx512f")) sets.push_back(&avx512::kTable);
#endif
  return sets;
}

const Kernels& kernels() {
  static const Kernels& widest = *allKernels().back();
  return widest;
}

}  // namespace qccl::train::simd
