// The CUDA kernels, through the suite of all codec kernels (kernel_suite.hpp).
#include "quant/cuda/kernels.hpp"

#include <gtest/gtest.h>

#include "core/types.hpp"
#include "device/cuda/devices.hpp"
#include "quant/cuda/device_kernels.hpp"
#include "quant/kernel_suite.hpp"

namespace qccl::quant {
namespace {

std::vector<Implementation> implementations() {
  const std::string whyNot = device::cuda::whyNoDevice();
  std::vector<Implementation> all;
  for (int codec = qcclCodecInt8; codec < qcclNumCodecs; ++codec) {
    Implementation implementation = {"cuda", static_cast<qcclCodec_t>(codec), {}, whyNot};
    constexpr qcclDataType_t kTypes[] = {qcclFloat32, qcclBfloat16, qcclFloat16};
    for (int i = 0; i < 3; ++i) implementation.kernels[i] = whyNot.empty() ? test::deviceKernels(kTypes[i]) : nullptr;
    all.push_back(implementation);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(QuantCuda, Kernels, testing::ValuesIn(implementations()), nameOf);

// Also where there is no driver: looking for the kernels calls none.
TEST(CudaKernelTable, HasTheQuantizableTypesAndNoOther) {
  for (int dtype = 0; dtype < qcclNumTypes; ++dtype) {
    const auto type = static_cast<qcclDataType_t>(dtype);
    for (int codec = -1; codec <= qcclNumCodecs; ++codec) {
      const bool expected = codec > qcclCodecNone && codec < qcclNumCodecs && isQuantizable(type);
      EXPECT_EQ(cuda::codecKernels(static_cast<qcclCodec_t>(codec), type) != nullptr, expected) << dtype << " " << codec;
    }
  }
}

}  // namespace
}  // namespace qccl::quant
