#include "app/blas_choice.hpp"

#include <unistd.h>

#include <cstdlib>
#include <string>

// Of OpenBLAS only: weak, so that any other CBLAS links too.
extern "C" __attribute__((weak)) char* openblas_get_corename(void);

namespace qccl::train {

void correctBlasKernels([[maybe_unused]] char* const argv[]) {
#if defined(__x86_64__)
  constexpr const char* kVariable = "OPENBLAS_CORETYPE";
  if (openblas_get_corename == nullptr || std::getenv(kVariable) != nullptr || openblas_get_corename() != std::string("Prescott")) return;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (!avx512 && !avx2) return;
  ::setenv(kVariable, avx512 ? "SkylakeX" : "Haswell", 1);
  ::execv("/proc/self/exe", argv);
  // Not possible here (no /proc): slow, but right.
#endif
}

}  // namespace qccl::train
