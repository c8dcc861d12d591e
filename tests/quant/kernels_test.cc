// The host kernels of every instruction set that this processor has, through the suite of all codec kernels (kernel_suite.hpp).
#include "quant/kernels.hpp"

#include <gtest/gtest.h>

#include "core/types.hpp"
#include "quant/kernel_suite.hpp"

namespace qccl::quant {
namespace {

constexpr const char* kIsas[] = {"avx512", "avx2", "baseline"};

std::vector<Implementation> implementations() {
  std::vector<Implementation> all;
  for (const char* isa : kIsas) {
    for (int codec = qcclCodecInt8; codec < qcclNumCodecs; ++codec) {
      const auto value = static_cast<qcclCodec_t>(codec);
      if (codecKernels(isa, value, qcclFloat32) == nullptr) continue;
      all.push_back({isa,
                     value,
                     {codecKernels(isa, value, qcclFloat32), codecKernels(isa, value, qcclBfloat16), codecKernels(isa, value, qcclFloat16)},
                     ""});
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Quant, Kernels, testing::ValuesIn(implementations()), nameOf);

TEST(KernelTable, TakesTheBestThatTheProcessorHas) {
  for (const char* isa : kIsas) {
    if (codecKernels(isa, qcclCodecInt8, qcclFloat32) == nullptr) continue;
    EXPECT_STREQ(kernelIsa(), isa);
    break;
  }
  EXPECT_NE(codecKernels("baseline", qcclCodecInt8, qcclFloat32), nullptr);
  EXPECT_EQ(codecKernels("avx1024", qcclCodecInt8, qcclFloat32), nullptr);
#if defined(__x86_64__)
  EXPECT_EQ(codecKernels("avx2", qcclCodecInt8, qcclFloat32) != nullptr,
            __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"));
#endif
}

TEST(KernelTable, HasTheQuantizableTypesAndNoOther) {
  for (int dtype = 0; dtype < qcclNumTypes; ++dtype) {
    const auto type = static_cast<qcclDataType_t>(dtype);
    for (int codec = -1; codec <= qcclNumCodecs; ++codec) {
      const auto value = static_cast<qcclCodec_t>(codec);
      const bool expected = codec > qcclCodecNone && codec < qcclNumCodecs && isQuantizable(type);
      EXPECT_EQ(codecKernels(value, type) != nullptr, expected) << dtype << " " << codec;
      EXPECT_EQ(codecKernels("baseline", value, type) != nullptr, expected) << dtype << " " << codec;
    }
  }
}

}  // namespace
}  // namespace qccl::quant
