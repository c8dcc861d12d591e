#include "quant/kernels.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstring>

#include "core/error.hpp"
#include "core/settings.hpp"
#include "quant/codec_table.hpp"

namespace qccl::quant {

#define QCCL_DECLARE_ISA(isa)                                    \
  namespace isa {                                                \
  extern const CodecKernels kCodecKernels[qcclNumCodecs - 1][3]; \
  extern const ReduceKernels kReduceKernels[qcclNumTypes][4];    \
  }
QCCL_DECLARE_ISA(baseline)
#if defined(__x86_64__)
QCCL_DECLARE_ISA(avx2)
QCCL_DECLARE_ISA(avx512)
#endif
#undef QCCL_DECLARE_ISA

namespace {

#if defined(__x86_64__)
// Asked of the processor itself: Clang's __builtin_cpu_supports does not know the name.
bool hasF16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

struct IsaRow {
  const char* name;
  bool (*supported)();
  const CodecKernels (*codecs)[3];
  const ReduceKernels (*reductions)[4];
};

#define QCCL_ISA_ROW(isa, supported) \
  { #isa, supported, isa::kCodecKernels, isa::kReduceKernels }
// Best first.
const IsaRow kIsas[] = {
#if defined(__x86_64__)
    QCCL_ISA_ROW(avx512,
                 [] {
                   return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma");
                 }),
    QCCL_ISA_ROW(avx2, [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && hasF16c(); }),
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

const ReduceKernels& select(const IsaRow& row, qcclDataType_t dtype, qcclRedOp_t op) {
  if (dtype < 0 || dtype >= qcclNumTypes) {
    fail(qcclInvalidArgument, "unknown data type ", static_cast<int>(dtype), "; see qcclDataType_t");
  }
  const ReduceKernels* byOp = row.reductions[dtype];
  switch (op) {
    case qcclSum:
    case qcclAvg:
      return byOp[0];
    case qcclProd:
      return byOp[1];
    case qcclMax:
      return byOp[2];
    case qcclMin:
      return byOp[3];
    default:
      break;
  }
  fail(qcclInvalidArgument, "unknown reduction operation ", static_cast<int>(op), "; use qcclSum, qcclProd, qcclMax, qcclMin or qcclAvg");
}

const IsaRow* supportedIsa(const std::string& isa) {
  for (const IsaRow& row : kIsas) {
    if (isa == row.name && row.supported()) return &row;
  }
  return nullptr;
}

}  // namespace

const char* kernelIsa() { return chosenIsa().name; }

const CodecKernels* codecKernels(qcclCodec_t codec, qcclDataType_t dtype) { return kernelsIn(chosenIsa().codecs, codec, dtype); }

const ReduceKernels& reduceKernels(qcclDataType_t dtype, qcclRedOp_t op) { return select(chosenIsa(), dtype, op); }

const CodecKernels* codecKernels(const std::string& isa, qcclCodec_t codec, qcclDataType_t dtype) {
  const IsaRow* row = supportedIsa(isa);
  return row == nullptr ? nullptr : kernelsIn(row->codecs, codec, dtype);
}

const ReduceKernels* reduceKernels(const std::string& isa, qcclDataType_t dtype, qcclRedOp_t op) {
  const IsaRow* row = supportedIsa(isa);
  return row == nullptr ? nullptr : &select(*row, dtype, op);
}

}  // namespace qccl::quant
