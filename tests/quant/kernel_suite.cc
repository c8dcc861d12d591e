#include "quant/kernel_suite.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <set>

#include "core/types.hpp"
#include "quant/block_scale.hpp"
#include "quant/codes.hpp"
#include "quant/formats.hpp"
#include "quant/noise.hpp"
#include "quant/reference.hpp"

namespace qccl::quant {

using test::GuardedBuffer;
using test::Random;

namespace {

constexpr qcclDataType_t kTypes[] = {qcclFloat32, qcclBfloat16, qcclFloat16};

}  // namespace

std::string nameOf(const testing::TestParamInfo<Implementation>& implementation) {
  return implementation.param.name + "_" + enumName(qcclEnumCodec, implementation.param.codec);
}

const CodecKernels& Kernels::kernels(qcclDataType_t dtype) const {
  return *GetParam().kernels[std::find(std::begin(kTypes), std::end(kTypes), dtype) - std::begin(kTypes)];
}

EncodeOptions Kernels::optionsFor(std::size_t block, bool stochastic, Random& random) const {
  return {{codec(), kScales[random() % 3], block}, stochastic, random(), random() % 1000, random() % 2 == 0};
}

namespace {

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

void expectEqual(const EncodeCounts& actual, const EncodeCounts& expected) {
  EXPECT_EQ(actual.blocks, expected.blocks);
  EXPECT_EQ(actual.nonFiniteBlocks, expected.nonFiniteBlocks);
  EXPECT_EQ(actual.sampledElems, expected.sampledElems);
  EXPECT_EQ(actual.saturated, expected.saturated);
  EXPECT_EQ(actual.flushed, expected.flushed);
}

}  // namespace

void Kernels::expectOracleBits(qcclDataType_t dtype, const std::vector<float>& values, const EncodeOptions& options,
                               std::size_t valueOffsetElems) {
  const std::size_t elems = values.size();
  const PackedFormat& format = options.format;
  const std::size_t offsetBytes = valueOffsetElems * typeSize(dtype);
  const std::size_t packedSize = packedBytes(elems, format);
  const auto x = test::asType(dtype, values, offsetBytes);

  // Different garbage in both before: every byte must be written. 16 bytes is the alignment that packed buffers have, and no more.
  GuardedBuffer packed(packedSize, kSectionAlign, 0xcd);
  GuardedBuffer expectedPacked(packedSize, kSectionAlign, 0x17);
  EncodeCounts counts{100, 10, 20, 30, 40};
  EncodeCounts expectedCounts{100, 10, 20, 30, 40};
  kernels(dtype).encode(x->data(), elems, options, packed.data(), &counts);
  referenceEncode(dtype, x->data(), elems, options, expectedPacked.data(), &expectedCounts);
  ASSERT_EQ(firstDifference(packed.data(), expectedPacked.data(), packedSize), "");
  ASSERT_TRUE(packed.intact());
  expectEqual(counts, expectedCounts);

  GuardedBuffer out(x->bytes(), offsetBytes, 0xcd);
  GuardedBuffer expectedOut(x->bytes(), offsetBytes, 0x17);
  kernels(dtype).decode(packed.data(), elems, format, out.data());
  referenceDecode(dtype, packed.data(), elems, format, expectedOut.data());
  ASSERT_EQ(firstDifference(out.data(), expectedOut.data(), out.bytes()), "");
  ASSERT_TRUE(out.intact());

  // The addends: the values themselves in another order, so that sums cancel, round, overflow, are infinite and NaN.
  std::vector<float> addends(values.rbegin(), values.rend());
  const auto sum = test::asType(qcclFloat32, addends, valueOffsetElems * sizeof(float));
  auto* sums = reinterpret_cast<float*>(sum->data());
  kernels(dtype).decodeAdd(packed.data(), elems, format, sums);
  ASSERT_TRUE(sum->intact());
  referenceDecodeAdd(packed.data(), elems, format, addends.data());
  for (std::size_t i = 0; i < elems; ++i) {
    // Which payload a sum of two NaNs has is left open: processors differ.
    if (std::isnan(addends[i]) && std::isnan(sums[i])) continue;
    ASSERT_EQ(firstDifference(sum->data() + 4 * i, reinterpret_cast<const unsigned char*>(&addends[i]), 4), "") << "sum " << i;
  }
}

namespace {

// A copy of a buffer with the same guard and alignment.
std::unique_ptr<GuardedBuffer> copyOf(const GuardedBuffer& buffer) {
  auto copy = std::make_unique<GuardedBuffer>(buffer.bytes(), kSectionAlign);
  std::copy(buffer.data(), buffer.data() + buffer.bytes(), copy->data());
  return copy;
}

}  // namespace

void Kernels::expectOracleBitsOfUpdates(qcclDataType_t dtype, const std::vector<float>& values, const EncodeOptions& options,
                                        Random& random) {
  const std::size_t elems = values.size();
  const std::size_t bytes = packedBytes(elems, options.format);
  const auto x = test::asType(dtype, values);
  EncodeCounts counts, expectedCounts;

  GuardedBuffer stored(bytes, kSectionAlign);
  EncodeCounts ignored;
  const auto before = test::asType(dtype, test::makeHostileValues(elems, options.format.blockElems, random));
  referenceEncode(dtype, before->data(), elems, options, stored.data(), &ignored);
  GuardedBuffer apart(bytes, kSectionAlign, 0xcd);
  GuardedBuffer expected(bytes, kSectionAlign, 0x17);
  kernels(dtype).addEncode(stored.data(), x->data(), elems, options, apart.data(), &counts);
  referenceAddEncode(dtype, stored.data(), x->data(), elems, options, expected.data(), &expectedCounts);
  ASSERT_EQ(firstDifference(apart.data(), expected.data(), bytes), "");
  ASSERT_TRUE(apart.intact());
  kernels(dtype).addEncode(stored.data(), x->data(), elems, options, stored.data(), &ignored);
  ASSERT_EQ(firstDifference(stored.data(), expected.data(), bytes), "") << "in place";

  const PackedFormat restFormat = residualFormat(options.format.blockElems);
  GuardedBuffer rest(packedBytes(elems, restFormat), kSectionAlign);
  std::vector<float> errors = test::makeValues(test::Shape::normal, elems, random);
  referenceEncode(qcclFloat32, errors.data(), elems, {restFormat, false, 0, 0, false}, rest.data(), &ignored);
  const auto expectedRest = copyOf(rest);
  kernels(dtype).encodeFeedback(x->data(), elems, options, rest.data(), apart.data(), &counts);
  referenceEncodeFeedback(dtype, x->data(), elems, options, expectedRest->data(), expected.data(), &expectedCounts);
  ASSERT_EQ(firstDifference(apart.data(), expected.data(), bytes), "") << "feedback";
  ASSERT_EQ(firstDifference(rest.data(), expectedRest->data(), rest.bytes()), "") << "residual";
  ASSERT_TRUE(apart.intact() && rest.intact());
  expectEqual(counts, expectedCounts);
}

namespace {

std::vector<std::size_t> lengths(std::size_t block) {
  std::set<std::size_t> all = {0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 251, block - 1, block, block + 1};
  const std::size_t frame = frameElems(block);
  for (const std::size_t n : {2 * block, 3 * block + 13, frame - 1, frame, frame + 1, 2 * frame + 5 * block + 21}) all.insert(n);
  return {all.begin(), all.end()};
}

}  // namespace

TEST_P(Kernels, GiveTheOraclesBitsForEveryBlockLengthAndRounding) {
  Random random(1);
  for (std::size_t block = kMinBlockElems; block <= kMaxBlockElems; block *= 2) {
    for (const std::size_t elems : lengths(block)) {
      for (const bool stochastic : {false, true}) {
        const EncodeOptions options = optionsFor(block, stochastic, random);
        const std::size_t offset = random() % 16;
        // The oracle takes one element at a time: large blocks with a type by chance.
        for (const qcclDataType_t dtype :
             block <= 256 ? std::vector<qcclDataType_t>(kTypes, kTypes + 3) : std::vector{kTypes[random() % 3]}) {
          SCOPED_TRACE(testing::Message() << enumName(qcclEnumDataType, dtype) << ", block " << block << ", elems " << elems
                                          << ", stochastic " << stochastic << ", scale " << options.format.scale << ", offset " << offset);
          expectOracleBits(dtype, test::makeHostileValues(elems, block, random), options, offset);
          if (HasFatalFailure()) return;
        }
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
          const EncodeOptions options = optionsFor(block, stochastic, random);
          const qcclDataType_t dtype = kTypes[repeat % 3];
          SCOPED_TRACE(testing::Message() << enumName(qcclEnumDataType, dtype) << ", shape " << shape << ", block " << block << ", elems "
                                          << elems << ", stochastic " << stochastic << ", scale " << options.format.scale);
          const std::vector<float> values = test::makeValues(static_cast<test::Shape>(shape), elems, random);
          expectOracleBits(dtype, values, options, 1);
          if (repeat < 6) expectOracleBitsOfUpdates(dtype, values, options, random);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(Kernels, GiveTheOraclesBitsForEveryPatternOf16Bits) {
  Random random(6);
  for (const qcclDataType_t dtype : {qcclBfloat16, qcclFloat16}) {
    // Neighbouring patterns are neighbouring values: in order, so that blocks have values of one magnitude, and shuffled.
    std::vector<float> values;
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
      const auto pattern = static_cast<std::uint16_t>(bits);
      values.push_back(dtype == qcclBfloat16 ? fromBfloat16(pattern) : fromFloat16(pattern));
    }
    for (const bool shuffled : {false, true}) {
      if (shuffled) std::shuffle(values.begin(), values.end(), random);
      for (const bool stochastic : {false, true}) {
        expectOracleBits(dtype, values, optionsFor(32, stochastic, random), 0);
        if (HasFatalFailure()) return;
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
    const PackedFormat format{codec(), qcclScaleFloat32, 256};
    GuardedBuffer packed(packedBytes(kElems, format), kSectionAlign);
    EncodeCounts counts;
    referenceEncode(qcclFloat32, values.data(), kElems, {format, false, 0, 0, false}, packed.data(), &counts);
    std::vector<float> decoded(kElems);
    referenceDecode(qcclFloat32, packed.data(), kElems, format, decoded.data());
    std::vector<float> sums(kElems);
    for (float& sum : sums) {
      const std::uint32_t mantissa = static_cast<std::uint32_t>(random()) & (random() % 2 == 0 ? 0x7fffffu : 0x700000u);
      const auto place = static_cast<std::uint32_t>(std::clamp(127 + exponent - 30 + static_cast<int>(random() % 60), 0, 254));
      sum = floatFromBits(static_cast<std::uint32_t>(random() % 2) << 31 | place << 23 | mantissa);
    }
    std::vector<float> expected = sums;
    std::vector<float> twice = sums;
    kernels(qcclFloat32).decodeAdd(packed.data(), kElems, format, sums.data());
    referenceDecodeAdd(packed.data(), kElems, format, expected.data());
    for (std::size_t i = 0; i < kElems; ++i) {
      ASSERT_EQ(bitsOf(sums[i]), bitsOf(expected[i])) << "element " << i << ", exponent " << exponent;
      if (bitsOf(twice[i] + decoded[i]) != bitsOf(expected[i])) ++differentFromTwoRoundings;
    }
  }
  // With bf16 a decoded value is exact, and there is nothing to fuse.
  EXPECT_TRUE(codec() == qcclCodecBf16 || differentFromTwoRoundings > 1000u)
      << "the sums of this test do not depend on the fused operation";
}

// x * (largest code / a) can come out a little above the largest code, and then the noise could round it up to what is no code.
TEST_P(Kernels, StochasticCodesStayWithinTheLargest) {
  constexpr std::size_t kElems = 40;  // a vector and what is left over
  constexpr std::uint64_t kKey = 7;
  std::uint64_t low = 0;   // where the noise is near 0
  std::uint64_t high = 0;  // where it is near 1
  while (uniformNoise(kKey, low) > 0x1p-18f) ++low;
  while (uniformNoise(kKey, high) < 1.0f - 0x1p-18f) ++high;
  std::size_t above = 0;
  for (std::uint32_t mantissa = 0; mantissa < 128; ++mantissa) {
    const float a = floatFromBits(bitsOf(1.0f) | mantissa << 16);
    const bool beyond = withCode(
        codec(), [&]<typename Code>(Code) { return BlockEncoder(qcclScaleFloat32, Code::kMax, bitsOf(a)).scaled(a) > Code::kMax; });
    above += beyond ? 1 : 0;
    for (std::size_t place = 0; place < kElems; place += beyond ? 1 : 13) {
      EncodeOptions options = {{codec(), qcclScaleFloat32, 64}, true, kKey, low - place, true};
      expectOracleBits(qcclFloat32, std::vector<float>(kElems, a), options, 0);
      options.firstElemIndex = high - place;
      expectOracleBits(qcclFloat32, std::vector<float>(kElems, -a), options, 0);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(above, 3u) << "no value of this test is scaled beyond the largest code";
}

TEST_P(Kernels, DecodeAnyBytes) {
  Random random(4);
  for (int repeat = 0; repeat < 200; ++repeat) {
    const qcclDataType_t dtype = kTypes[repeat % 3];
    const PackedFormat format{codec(), kScales[random() % 3], kMinBlockElems << (random() % 8)};
    const std::size_t elems = random() % (2 * frameElems(format.blockElems) / (repeat % 8 == 0 ? 1 : 16));
    GuardedBuffer packed(packedBytes(elems, format), kSectionAlign);
    for (std::size_t i = 0; i < packed.bytes(); ++i) packed.data()[i] = static_cast<unsigned char>(random() >> 13);
    // Some of the scales are such as no encoder writes.
    for (std::size_t i = 0; 4 * i + 4 <= std::min<std::size_t>(packed.bytes(), kFrameBlocks * 4); ++i) {
      constexpr std::uint32_t kOdd[] = {0x7fffffff, 0xffffffff, 0x7f800001, 0xff800001, 0x7f800000, 0xff800000,
                                        0x7f7fffff, 0xff7fffff, 0x80000000, 0x80000001, 0x00000001, 0xc2fe0000};
      if (random() % 2 == 0) std::memcpy(packed.data() + 4 * i, &kOdd[random() % std::size(kOdd)], 4);
    }
    GuardedBuffer out(elems * typeSize(dtype), typeSize(dtype));
    GuardedBuffer expected(elems * typeSize(dtype), typeSize(dtype));
    kernels(dtype).decode(packed.data(), elems, format, out.data());
    ASSERT_TRUE(out.intact());
    referenceDecode(dtype, packed.data(), elems, format, expected.data());
    GuardedBuffer sum(elems * sizeof(float), 0, 0);
    kernels(dtype).decodeAdd(packed.data(), elems, format, reinterpret_cast<float*>(sum.data()));
    ASSERT_TRUE(sum.intact());
    for (std::size_t i = 0; i < elems; ++i) {
      const float actual = loadElem(dtype, out.data(), i);
      const float oracle = loadElem(dtype, expected.data(), i);
      if (std::isnan(oracle)) {
        ASSERT_TRUE(std::isnan(actual)) << i;
      } else {
        ASSERT_EQ(bitsOf(actual), bitsOf(oracle)) << i;
      }
    }
  }
}

}  // namespace qccl::quant
