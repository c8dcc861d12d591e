#include "quant/kernels.hpp"

#include <cstring>

#include "core/error.hpp"
#include "core/settings.hpp"

namespace qccl::quant {

#define QCCL_DECLARE_ISA(isa)                              \
  namespace isa {                                          \
  extern const CodecKernels kFloat32, kBfloat16, kFloat16; \
  }
QCCL_DECLARE_ISA(baseline)
#if defined(__x86_64__)
QCCL_DECLARE_ISA(avx2)
QCCL_DECLARE_ISA(avx512)
#endif
#undef QCCL_DECLARE_ISA

namespace {

struct IsaRow {
  const char* name;
  bool (*supported)();
  const CodecKernels* float32;
  const CodecKernels* bfloat16;
  const CodecKernels* float16;
};

#define QCCL_ISA_ROW(isa, supported) \
  { #isa, supported, &isa::kFloat32, &isa::kBfloat16, &isa::kFloat16 }
// Best first.
const IsaRow kIsas[] = {
#if defined(__x86_64__)
    QCCL_ISA_ROW(avx512,
                 [] {
                   return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
                 }),
    QCCL_ISA_ROW(avx2, [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"); }),
#endif
    QCCL_ISA_ROW(baseline, [] { return true; }),
};
#undef QCCL_ISA_ROW

const IsaRow& chooseIsa() {
  const std::string wanted = readSettings().kernels;
  for (const IsaRow& row : kIsas) {
    if (wanted == "auto" ? row.supported() : wanted == row.name) {
      if (!row.supported()) fail(qcclInvalidArgument, "QCCL_KERNELS=", wanted, ": this processor cannot run those; use auto");
      return row;
    }
  }
  fail(qcclInvalidArgument, "QCCL_KERNELS=", wanted, ": this build has no such kernels; use auto");
}

const IsaRow& chosenIsa() {
  static const IsaRow& row = chooseIsa();
  return row;
}

const CodecKernels* select(const IsaRow& row, qcclDataType_t dtype) {
  switch (dtype) {
    case qcclFloat32:
      return row.float32;
    case qcclBfloat16:
      return row.bfloat16;
    case qcclFloat16:
      return row.float16;
    default:
      return nullptr;
  }
}

}  // namespace

const char* kernelIsa() { return chosenIsa().name; }

const CodecKernels* codecKernels(qcclDataType_t dtype) { return select(chosenIsa(), dtype); }

const CodecKernels* codecKernels(const std::string& isa, qcclDataType_t dtype) {
  for (const IsaRow& row : kIsas) {
    if (isa == row.name && row.supported()) return select(row, dtype);
  }
  return nullptr;
}

}  // namespace qccl::quant
