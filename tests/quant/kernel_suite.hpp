// The conformance suite of codec kernels: whatever implements CodecKernels gives the oracle's bits, for every type, block, rounding and
// ragged length, for hostile values and pointers with the alignment of their type and no more. A test program that links kernel_suite.cc
// instantiates it: INSTANTIATE_TEST_SUITE_P(<name>, Kernels, ...).
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "quant/kernels.hpp"
#include "quant/test_values.hpp"

namespace qccl::quant {

// One implementation of one codec.
struct Implementation {
  std::string name;
  qcclCodec_t codec;
  const CodecKernels* kernels[3];  // FP32, BF16, FP16; nullptr if it cannot run here
  std::string whyNot;              // the sentence that says why, for the test's log
};

class Kernels : public testing::TestWithParam<Implementation> {
 protected:
  void SetUp() override {
    if (GetParam().kernels[0] == nullptr) GTEST_SKIP() << GetParam().whyNot;
  }

  qcclCodec_t codec() const { return GetParam().codec; }
  const CodecKernels& kernels(qcclDataType_t dtype) const;

  // The options of a case: the codec of the test, a scale by chance.
  EncodeOptions optionsFor(std::size_t block, bool stochastic, test::Random& random) const;

  // Encodes, decodes and adds `values` with the kernels and with the oracle.
  void expectOracleBits(qcclDataType_t dtype, const std::vector<float>& values, const EncodeOptions& options, std::size_t valueOffsetElems);
  // The same for the kernels that read codes and write codes.
  void expectOracleBitsOfUpdates(qcclDataType_t dtype, const std::vector<float>& values, const EncodeOptions& options,
                                 test::Random& random);
};

// "avx2_int8": how the instances are named in the tests' names.
std::string nameOf(const testing::TestParamInfo<Implementation>& implementation);

}  // namespace qccl::quant
