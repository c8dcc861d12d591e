// Every fast kernel gives the oracle's bits: every instruction set that this processor has, every type, block, rounding and ragged length,
// hostile values, pointers with the alignment of their type and no more.
#include "quant/kernels.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <tuple>

#include "core/types.hpp"
#include "quant/codec.hpp"
#include "quant/reference.hpp"
#include "quant/test_values.hpp"

namespace qccl::quant {
namespace {

using test::GuardedBuffer;
using test::Random;

constexpr const char* kIsas[] = {"avx512", "avx2", "baseline"};

struct Instance {
  std::string isa;
  qcclDataType_t dtype;
};

std::vector<Instance> instances() {
  std::vector<Instance> all;
  for (const char* isa : kIsas) {
    for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
      if (codecKernels(isa, dtype) != nullptr) all.push_back({isa, dtype});
    }
  }
  return all;
}

class Kernels : public testing::TestWithParam<Instance> {
 protected:
  qcclDataType_t dtype() const { return GetParam().dtype; }
  const CodecKernels& kernels() const { return *codecKernels(GetParam().isa, dtype()); }

  // Encodes, decodes and adds `values` with the kernels and with the oracle.
  void expectOracleBits(const std::vector<float>& values, const EncodeOptions& options, std::size_t valueOffsetElems);
};

// The first place where two buffers differ, as text; "" if they are equal.
std::string firstDifference(const unsigned char* actual, const unsigned char* expected, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    if (actual[i] == expected[i]) continue;
    const std::size_t around = i & ~std::size_t{7};
    const std::size_t count = std::min<std::size_t>(8, bytes - around);
    return "byte " + std::to_string(i) + ": " + test::hex(actual + around, count) + " instead of " + test::hex(expected + around, count);
  }
  return "";
}

void Kernels::expectOracleBits(const std::vector<float>& values, const EncodeOptions& options, std::size_t valueOffsetElems) {
  const std::size_t elems = values.size();
  const std::size_t block = options.blockElems;
  const std::size_t offsetBytes = valueOffsetElems * typeSize(dtype());
  const std::size_t packedSize = packedBytes(elems, block);
  const auto x = test::asType(dtype(), values, offsetBytes);

  // Different garbage in both before: every byte must be written. 16 bytes is the alignment that packed buffers have, and no more.
  GuardedBuffer packed(packedSize, kSectionAlign, 0xcd);
  GuardedBuffer expectedPacked(packedSize, kSectionAlign, 0x17);
  EncodeCounts counts{100, 10};
  EncodeCounts expectedCounts{100, 10};
  kernels().encode(x->data(), elems, options, packed.data(), &counts);
  referenceEncode(dtype(), x->data(), elems, options, expectedPacked.data(), &expectedCounts);
  ASSERT_EQ(firstDifference(packed.data(), expectedPacked.data(), packedSize), "");
  ASSERT_TRUE(packed.intact());
  ASSERT_EQ(counts.blocks, expectedCounts.blocks);
  ASSERT_EQ(counts.nonFiniteBlocks, expectedCounts.nonFiniteBlocks);

  GuardedBuffer out(x->bytes(), offsetBytes, 0xcd);
  GuardedBuffer expectedOut(x->bytes(), offsetBytes, 0x17);
  kernels().decode(packed.data(), elems, block, out.data());
  referenceDecode(dtype(), packed.data(), elems, block, expectedOut.data());
  ASSERT_EQ(firstDifference(out.data(), expectedOut.data(), out.bytes()), "");
  ASSERT_TRUE(out.intact());

  // The addends: the values themselves in another order, so that sums cancel, round, overflow, are infinite and NaN.
  std::vector<float> addends(values.rbegin(), values.rend());
  const auto sum = test::asType(qcclFloat32, addends, valueOffsetElems * sizeof(float));
  auto* sums = reinterpret_cast<float*>(sum->data());
  kernels().decodeAdd(packed.data(), elems, block, sums);
  ASSERT_TRUE(sum->intact());
  referenceDecodeAdd(packed.data(), elems, block, addends.data());
  for (std::size_t i = 0; i < elems; ++i) {
    // Which payload a sum of two NaNs has is left open: processors differ.
    if (std::isnan(addends[i]) && std::isnan(sums[i])) continue;
    ASSERT_EQ(firstDifference(sum->data() + 4 * i, reinterpret_cast<const unsigned char*>(&addends[i]), 4), "") << "sum " << i;
  }
}

std::vector<std::size_t> lengths(std::size_t block) {
  std::set<std::size_t> all = {0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 251, block - 1, block, block + 1};
  const std::size_t frame = frameElems(block);
  for (const std::size_t n : {2 * block, 3 * block + 13, frame - 1, frame, frame + 1, 2 * frame + 5 * block + 21}) all.insert(n);
  return {all.begin(), all.end()};
}

TEST_P(Kernels, GiveTheOraclesBitsForEveryBlockLengthAndRounding) {
  Random random(1);
  for (std::size_t block = kMinBlockElems; block <= kMaxBlockElems; block *= 2) {
    for (const std::size_t elems : lengths(block)) {
      for (const bool stochastic : {false, true}) {
        const EncodeOptions options = {block, stochastic, random(), random() % 1000};
        const std::size_t offset = random() % 16;
        SCOPED_TRACE(testing::Message() << "block " << block << ", elems " << elems << ", stochastic " << stochastic << ", offset "
                                        << offset);
        expectOracleBits(test::makeHostileValues(elems, block, random), options, offset);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(Kernels, GiveTheOraclesBitsForEveryShapeOfValues) {
  Random random(2);
  for (int shape = 0; shape < static_cast<int>(test::Shape::numShapes); ++shape) {
    for (const std::size_t block : {std::size_t{32}, std::size_t{256}}) {
      for (const bool stochastic : {false, true}) {
        for (int repeat = 0; repeat < 12; ++repeat) {
          const std::size_t elems = 3 * block + random() % block;
          SCOPED_TRACE(testing::Message() << "shape " << shape << ", block " << block << ", elems " << elems << ", stochastic "
                                          << stochastic);
          expectOracleBits(test::makeValues(static_cast<test::Shape>(shape), elems, random), {block, stochastic, random(), random()}, 1);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

// Sums whose rounding is decided by bits far below both operands, which is where a sum that is not fused, or is rounded twice, differs.
TEST_P(Kernels, AddWithOneRounding) {
  Random random(3);
  constexpr std::size_t kElems = 4096;
  std::size_t differentFromTwoRoundings = 0;
  for (int repeat = 0; repeat < 40; ++repeat) {
    const int exponent = static_cast<int>(random() % 250) - 140;
    std::vector<float> values = test::makeValues(test::Shape::normal, kElems, random);
    for (float& value : values) value = std::ldexp(value, exponent);
    GuardedBuffer packed(packedBytes(kElems, 256), kSectionAlign);
    EncodeCounts counts;
    referenceEncode(qcclFloat32, values.data(), kElems, {256, false, 0, 0}, packed.data(), &counts);
    std::vector<float> decoded(kElems);
    referenceDecode(qcclFloat32, packed.data(), kElems, 256, decoded.data());
    std::vector<float> sums(kElems);
    for (float& sum : sums) {
      const std::uint32_t mantissa = static_cast<std::uint32_t>(random()) & (random() % 2 == 0 ? 0x7fffffu : 0x700000u);
      const auto place = static_cast<std::uint32_t>(std::clamp(127 + exponent - 30 + static_cast<int>(random() % 60), 0, 254));
      sum = floatFromBits(static_cast<std::uint32_t>(random() % 2) << 31 | place << 23 | mantissa);
    }
    std::vector<float> expected = sums;
    std::vector<float> twice = sums;
    kernels().decodeAdd(packed.data(), kElems, 256, sums.data());
    referenceDecodeAdd(packed.data(), kElems, 256, expected.data());
    for (std::size_t i = 0; i < kElems; ++i) {
      ASSERT_EQ(bitsOf(sums[i]), bitsOf(expected[i])) << "element " << i << ", exponent " << exponent;
      if (bitsOf(twice[i] + decoded[i]) != bitsOf(expected[i])) ++differentFromTwoRoundings;
    }
  }
  EXPECT_GT(differentFromTwoRoundings, 1000u) << "the sums of this test do not depend on the fused operation";
}

// x * (127 / a) can come out a little above 127, and then the noise could round it up to 128, which is no code.
TEST_P(Kernels, StochasticCodesStayWithin127) {
  constexpr std::size_t kElems = 40;  // a vector and what is left over
  constexpr std::uint64_t kKey = 7;
  std::uint64_t low = 0;   // where the noise is near 0
  std::uint64_t high = 0;  // where it is near 1
  while (uniformNoise(kKey, low) > 0x1p-18f) ++low;
  while (uniformNoise(kKey, high) < 1.0f - 0x1p-18f) ++high;
  std::size_t above = 0;
  for (std::uint32_t mantissa = 0; mantissa < 128; ++mantissa) {
    const float a = floatFromBits(bitsOf(1.0f) | mantissa << 16);
    if (Int8Encoder(a).scaled(a) > 127.0f) ++above;
    for (std::size_t place = 0; place < kElems; ++place) {
      EncodeOptions options = {64, true, kKey, low - place};
      expectOracleBits(std::vector<float>(kElems, a), options, 0);
      options.firstElemIndex = high - place;
      expectOracleBits(std::vector<float>(kElems, -a), options, 0);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(above, 3u) << "no value of this test is scaled beyond 127";
}

TEST_P(Kernels, DecodeAnyBytes) {
  Random random(4);
  for (int repeat = 0; repeat < 200; ++repeat) {
    const std::size_t block = kMinBlockElems << (random() % 8);
    const std::size_t elems = random() % (2 * frameElems(block) / (repeat % 4 == 0 ? 1 : 16));
    GuardedBuffer packed(packedBytes(elems, block), kSectionAlign);
    for (std::size_t i = 0; i < packed.bytes(); ++i) packed.data()[i] = static_cast<unsigned char>(random() >> 13);
    // Some of the scales are such as no encoder writes.
    for (std::size_t i = 0; 4 * i + 4 <= std::min<std::size_t>(packed.bytes(), kFrameBlocks * kScaleBytes); ++i) {
      constexpr std::uint32_t kScales[] = {0x7fffffff, 0xffffffff, 0x7f800001, 0xff800001, 0x7f800000, 0xff800000,
                                           0x7f7fffff, 0xff7fffff, 0x80000000, 0x80000001, 0x00000001, 0xc2fe0000};
      if (random() % 2 == 0) std::memcpy(packed.data() + 4 * i, &kScales[random() % std::size(kScales)], 4);
    }
    GuardedBuffer out(elems * typeSize(dtype()), typeSize(dtype()));
    GuardedBuffer expected(elems * typeSize(dtype()), typeSize(dtype()));
    kernels().decode(packed.data(), elems, block, out.data());
    ASSERT_TRUE(out.intact());
    referenceDecode(dtype(), packed.data(), elems, block, expected.data());
    GuardedBuffer sum(elems * sizeof(float), 0, 0);
    kernels().decodeAdd(packed.data(), elems, block, reinterpret_cast<float*>(sum.data()));
    ASSERT_TRUE(sum.intact());
    for (std::size_t i = 0; i < elems; ++i) {
      const float actual = loadElem(dtype(), out.data(), i);
      const float oracle = loadElem(dtype(), expected.data(), i);
      if (std::isnan(oracle)) {
        ASSERT_TRUE(std::isnan(actual)) << i;
      } else {
        ASSERT_EQ(bitsOf(actual), bitsOf(oracle)) << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Quant, Kernels, testing::ValuesIn(instances()), [](const testing::TestParamInfo<Instance>& row) {
  return row.param.isa + "_" + enumName(qcclEnumDataType, row.param.dtype);
});

TEST(KernelTable, TakesTheBestThatTheProcessorHas) {
  for (const char* isa : kIsas) {
    if (codecKernels(isa, qcclFloat32) == nullptr) continue;
    EXPECT_STREQ(kernelIsa(), isa);
    break;
  }
  EXPECT_NE(codecKernels("baseline", qcclFloat32), nullptr);
  EXPECT_EQ(codecKernels("avx1024", qcclFloat32), nullptr);
#if defined(__x86_64__)
  EXPECT_EQ(codecKernels("avx2", qcclFloat32) != nullptr,
            __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"));
#endif
}

TEST(KernelTable, HasTheQuantizableTypesAndNoOther) {
  for (int dtype = 0; dtype < qcclNumTypes; ++dtype) {
    const auto type = static_cast<qcclDataType_t>(dtype);
    EXPECT_EQ(codecKernels(type) != nullptr, isQuantizable(type)) << dtype;
    EXPECT_EQ(codecKernels("baseline", type) != nullptr, isQuantizable(type)) << dtype;
  }
}

}  // namespace
}  // namespace qccl::quant
