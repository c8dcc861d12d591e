#include "quant/kernels.hpp"

#include <cstring>

#include "core/error.hpp"
#include "core/settings.hpp"

namespace qccl::quant {

#define QCCL_DECLARE_ISA(isa)                                  \
  namespace isa {                                              \
  extern const CodecKernels kCodecKernels[qcclNumCodecs - 1][3]; \
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
  const CodecKernels (*codecs)[3];
};

#define QCCL_ISA_ROW(isa, supported) \
  { #isa, supported, isa::kCodecKernels }
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

const CodecKernels* select(const IsaRow& row, qcclCodec_t codec, qcclDataType_t dtype) {
  if (codec <= qcclCodecNone || codec >= qcclNumCodecs) return nullptr;
  const CodecKernels* byType = row.codecs[codec - 1];
  switch (dtype) {
    case qcclFloat32:
      return &byType[0];
    case qcclBfloat16:
      return &byType[1];
    case qcclFloat16:
      return &byType[2];
    default:
      return nullptr;
  }
}

}  // namespace

const char* kernelIsa() { return chosenIsa().name; }

const CodecKernels* codecKernels(qcclCodec_t codec, qcclDataType_t dtype) { return select(chosenIsa(), codec, dtype); }

const CodecKernels* codecKernels(const std::string& isa, qcclCodec_t codec, qcclDataType_t dtype) {
  for (const IsaRow& row : kIsas) {
    if (isa == row.name && row.supported()) return select(row, codec, dtype);
  }
  return nullptr;
}

}  // namespace qccl::quant
