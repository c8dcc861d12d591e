// What the codec promises, shown on the oracle. (kernels_test.cc shows that every fast version has the oracle's bits.)
#include "quant/codec.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "quant/reference.hpp"
#include "quant/test_values.hpp"

namespace qccl::quant {
namespace {

using test::GuardedBuffer;
using test::Random;
using test::Shape;

// What FP32 arithmetic adds to the bound of the rounding to codes, relative to that bound. In units of a / 254: x * 127 / a is computed
// with two roundings of 2^-24 on a value of at most 127, so it is off by at most 127 * 2^-23 codes = 254 * 2^-23 units; q * a / 127 with
// two roundings on a value of at most a: 254 * 2^-23 units. The sum, 508 * 2^-23, rounded up to a power of two for the terms of second
// order. (Stochastic rounding has half the units and so half of this.)
constexpr double kFloatTolerance = 0x1p-14;

// The rounding of a decoded value that is denormal.
constexpr double kHalfDenormal = 0x1p-150;

struct RoundTrip {
  std::vector<float> decoded;
  std::vector<float> scales;
  std::vector<std::int8_t> codes;
  EncodeCounts counts;
};

RoundTrip roundTrip(const std::vector<float>& values, const EncodeOptions& options) {
  const std::size_t block = options.blockElems;
  GuardedBuffer packed(packedBytes(values.size(), block), kSectionAlign);
  RoundTrip result;
  referenceEncode(qcclFloat32, values.data(), values.size(), options, packed.data(), &result.counts);
  result.decoded.resize(values.size());
  referenceDecode(qcclFloat32, packed.data(), values.size(), block, result.decoded.data());
  // Scales and codes are taken out by the words of docs/wire_format.md.
  for (std::size_t first = 0, frame = 0; first < values.size(); first += 16 * block) {
    const std::size_t n = std::min(16 * block, values.size() - first);
    const std::size_t blocks = (n + block - 1) / block;
    for (std::size_t b = 0; b < blocks; ++b) {
      float scale;
      std::memcpy(&scale, packed.data() + frame + 4 * b, 4);
      result.scales.push_back(scale);
    }
    frame += (4 * blocks + 15) / 16 * 16;
    for (std::size_t i = 0; i < n; ++i) result.codes.push_back(static_cast<std::int8_t>(packed.data()[frame + i]));
    frame += (n + 15) / 16 * 16;
  }
  return result;
}

float largestMagnitude(const std::vector<float>& values, std::size_t first, std::size_t count) {
  float largest = 0.0f;
  for (std::size_t i = first; i < std::min(values.size(), first + count); ++i) largest = std::max(largest, std::fabs(values[i]));
  return largest;
}

constexpr Shape kFiniteShapes[] = {Shape::normal,  Shape::heavyTailed, Shape::ties, Shape::zeros,   Shape::denormals,      Shape::oneUnit,
                                   Shape::oneHuge, Shape::tiny,        Shape::huge, Shape::maximum, Shape::aroundThreshold};

TEST(Codec, ErrorStaysBelowTheBoundAtEveryMagnitude) {
  Random random(11);
  for (const Shape shape : kFiniteShapes) {
    for (const bool stochastic : {false, true}) {
      for (const std::size_t block : {32, 256, 4096}) {
        const std::vector<float> values = test::makeValues(shape, 2 * block + 21, random);
        const RoundTrip result = roundTrip(values, {block, stochastic, random(), 0});
        EXPECT_EQ(result.counts.blocks, 3u);
        EXPECT_EQ(result.counts.nonFiniteBlocks, 0u);
        for (std::size_t i = 0; i < values.size(); ++i) {
          const double a = largestMagnitude(values, i / block * block, block);
          const double bound = a / (stochastic ? 127.0 : 254.0) * (1.0 + kFloatTolerance) + kHalfDenormal;
          ASSERT_LE(std::fabs(static_cast<double>(values[i]) - static_cast<double>(result.decoded[i])), bound)
              << "shape " << static_cast<int>(shape) << ", stochastic " << stochastic << ", element " << i << " = " << values[i];
        }
      }
    }
  }
}

// Nothing in the codec knows an absolute magnitude: a block and its multiple by a power of two have the same codes, and decode to the same
// multiple where that is normal.
TEST(Codec, PrecisionIsRelative) {
  Random random(12);
  const std::vector<float> values = test::makeValues(Shape::normal, 256, random);
  const RoundTrip expected = roundTrip(values, {});
  for (int exponent = -124; exponent <= 124; ++exponent) {
    std::vector<float> scaled = values;
    bool normal = true;
    for (float& x : scaled) {
      x = std::ldexp(x, exponent);
      normal = normal && (x == 0.0f || std::fabs(x) >= 0x1p-126f);
    }
    const RoundTrip result = roundTrip(scaled, {});
    if (normal) {
      ASSERT_EQ(result.codes, expected.codes) << exponent;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::fabs(std::ldexp(expected.decoded[i], exponent)) < 0x1p-125f) continue;
      ASSERT_EQ(result.decoded[i], std::ldexp(expected.decoded[i], exponent)) << "exponent " << exponent << ", element " << i;
    }
  }
}

TEST(Codec, ABlockOf1em30KeepsItsPrecision) {
  Random random(13);
  std::vector<float> values = test::makeValues(Shape::normal, 256, random);
  for (float& x : values) x *= 1e-30f;
  const RoundTrip result = roundTrip(values, {});
  double error = 0.0;
  double power = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - static_cast<double>(result.decoded[i]), 2);
    power += std::pow(static_cast<double>(values[i]), 2);
  }
  // Uniform error of a step of a / 127 with a about 3 deviations: 20 log10(sqrt(12) * 127 / 3) = 43 dB.
  EXPECT_GT(10.0 * std::log10(power / error), 40.0);
}

// Exact where there are no more than 127 denormals to tell apart.
TEST(Codec, FewDenormalUnitsAreExact) {
  for (int largest = 1; largest <= 127; ++largest) {
    std::vector<float> values;
    for (int units = -largest; units <= largest; ++units) values.push_back(static_cast<float>(units) * 0x1p-149f);
    const RoundTrip result = roundTrip(values, {});
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(result.decoded[i], values[i]) << largest << " units";
  }
}

// The element with the block's largest magnitude. Every FP32 mantissa in the binades where the codec changes what it does, and a sample of
// the others.
TEST(Codec, TheLargestElementDecodesToWithinOneUlp) {
  const auto check = [](std::uint32_t bits) {
    const float a = floatFromBits(bits);
    const float scale = scaleFromMagnitude(bits);
    const std::int8_t code = Int8Encoder(scale).nearest(a);
    const auto decoded = static_cast<std::int64_t>(bitsOf(Int8Decoder(scale).decode(code)));
    const std::int64_t ulps = std::abs(decoded - static_cast<std::int64_t>(bitsOf(scale)));
    return code == 127 && Int8Encoder(scale).nearest(-a) == -127 && ulps <= 1 && decoded < kInfBits && bits - bitsOf(scale) <= 1;
  };
  for (const std::uint32_t exponent : {1u, 30u, 31u, 127u, 254u}) {
    for (std::uint32_t mantissa = 0; mantissa < (1u << 23); mantissa += exponent == 254 ? 1 : 7) {
      ASSERT_TRUE(check(exponent << 23 | mantissa)) << std::hex << (exponent << 23 | mantissa);
    }
  }
  for (std::uint32_t bits = 1; bits < kInfBits; bits += 1009) ASSERT_TRUE(check(bits)) << std::hex << bits;
  for (std::uint32_t bits = 1; bits < 5000; ++bits) ASSERT_TRUE(check(bits)) << std::hex << bits;
  EXPECT_TRUE(check(kInfBits - 1)) << "FLT_MAX";
  // Only FLT_MAX is stored as its neighbour.
  EXPECT_EQ(bitsOf(scaleFromMagnitude(kInfBits - 1)), kInfBits - 2);
  EXPECT_EQ(bitsOf(scaleFromMagnitude(kInfBits - 2)), kInfBits - 2);
  EXPECT_EQ(bitsOf(scaleFromMagnitude(kInfBits - 3)), kInfBits - 3);
}

TEST(Codec, TheThresholdOfTinyBlocksDoesNotShow) {
  Random random(14);
  const std::uint32_t threshold = bitsOf(0x1p-96f);
  for (const std::uint32_t bits : {threshold - 1, threshold, threshold + 1}) {
    std::vector<float> values = test::makeValues(Shape::normal, 256, random);
    const float a = floatFromBits(bits);
    const float largest = largestMagnitude(values, 0, 256);
    for (float& x : values) x = x / largest * a;
    values[17] = a;
    const RoundTrip result = roundTrip(values, {});
    EXPECT_EQ(bitsOf(result.scales[0]), bits);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double exact = static_cast<double>(result.codes[i]) * static_cast<double>(a) / 127.0;
      ASSERT_NEAR(result.decoded[i], exact, std::fabs(exact) * 0x1p-23);
      ASSERT_EQ(result.codes[i], std::lrint(static_cast<double>(values[i]) * 127.0 / static_cast<double>(a)));
    }
  }
}

TEST(Codec, StochasticRoundingGoesUpWithTheProbabilityOfTheFraction) {
  const Int8Encoder encoder(127.0f);  // codes are values
  for (int whole = -127; whole <= 127; ++whole) {
    for (const float noise : {0.0f, 0.5f, 1.0f - 0x1p-24f}) EXPECT_EQ(encoder.stochastic(static_cast<float>(whole), noise), whole) << noise;
  }
  EXPECT_EQ(encoder.stochastic(5.5f, 0.5f - 0x1p-24f), 6);
  EXPECT_EQ(encoder.stochastic(5.5f, 0.5f), 5);
  EXPECT_EQ(encoder.stochastic(-5.5f, 0.5f - 0x1p-24f), -5);
  EXPECT_EQ(encoder.stochastic(-5.5f, 0.5f), -6);
}

TEST(Codec, StochasticCodesStayWithin127) {
  int above = 0;
  for (std::uint32_t mantissa = 0; mantissa < 1000; ++mantissa) {
    const float a = floatFromBits(bitsOf(1.0f) | mantissa << 13);
    const Int8Encoder encoder(a);
    above += encoder.scaled(a) > 127.0f ? 1 : 0;
    EXPECT_EQ(encoder.stochastic(a, 0.0f), 127) << a;
    EXPECT_EQ(encoder.stochastic(-a, 1.0f - 0x1p-24f), -127) << a;
  }
  EXPECT_GT(above, 10) << "no value of this test is scaled beyond 127";
}

TEST(Codec, AnAllZeroBlockIsPlusZero) {
  for (const bool stochastic : {false, true}) {
    const RoundTrip result = roundTrip({0.0f, -0.0f, 0.0f, -0.0f}, {32, stochastic, 5, 0});
    EXPECT_EQ(bitsOf(result.scales[0]), 0u);
    for (const std::int8_t code : result.codes) EXPECT_EQ(code, 0);
    for (const float x : result.decoded) EXPECT_EQ(bitsOf(x), 0u);
  }
}

TEST(Codec, NonFiniteValuesSpoilTheirBlockAndNoOther) {
  Random random(15);
  constexpr std::size_t kBlock = 64;
  const std::vector<float> clean = test::makeValues(Shape::normal, 20 * kBlock + 9, random);
  const RoundTrip expected = roundTrip(clean, {kBlock, false, 0, 0});
  for (const std::uint32_t bad : {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u, 0x7f800001u, 0xffffffffu}) {
    for (std::size_t place = 0; place < clean.size(); place += 61) {
      for (const bool stochastic : {false, true}) {
        std::vector<float> values = clean;
        values[place] = floatFromBits(bad);
        const RoundTrip result = roundTrip(values, {kBlock, stochastic, 0, 0});
        ASSERT_EQ(result.counts.nonFiniteBlocks, 1u);
        ASSERT_EQ(result.counts.blocks, 21u);
        for (std::size_t i = 0; i < values.size(); ++i) {
          if (i / kBlock == place / kBlock) {
            ASSERT_TRUE(std::isnan(result.decoded[i])) << i;
          } else if (!stochastic) {
            ASSERT_EQ(bitsOf(result.decoded[i]), bitsOf(expected.decoded[i])) << i;
          } else {
            ASSERT_TRUE(std::isfinite(result.decoded[i])) << i;
          }
        }
      }
    }
  }
}

TEST(Codec, AddingToZerosIsDecoding) {
  Random random(16);
  for (int repeat = 0; repeat < 50; ++repeat) {
    const std::vector<float> values = test::makeHostileValues(1000, 64, random);
    GuardedBuffer packed(packedBytes(values.size(), 64), kSectionAlign);
    EncodeCounts counts;
    referenceEncode(qcclFloat32, values.data(), values.size(), {64, false, 0, 0}, packed.data(), &counts);
    std::vector<float> decoded(values.size());
    std::vector<float> sum(values.size(), 0.0f);
    referenceDecode(qcclFloat32, packed.data(), values.size(), 64, decoded.data());
    referenceDecodeAdd(packed.data(), values.size(), 64, sum.data());
    ASSERT_EQ(std::memcmp(decoded.data(), sum.data(), 4 * values.size()), 0);
  }
}

// A block that was decoded and is encoded again has the same codes: its largest magnitude moved by an ulp at most, and every value lies
// within a fraction of a code of its code. With nearest rounding, in every type and at every magnitude.
TEST(Codec, EncodingWhatWasDecodedGivesTheSameCodes) {
  Random random(17);
  for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
    const std::size_t typeBytes = dtype == qcclFloat32 ? 4 : 2;
    for (const Shape shape : kFiniteShapes) {
      std::vector<float> values = test::makeValues(shape, 700, random);
      if (dtype == qcclFloat16) {
        for (float& x : values) x = std::clamp(x, -60000.0f, 60000.0f);
      } else if (dtype == qcclBfloat16) {
        for (float& x : values) x = std::clamp(x, -3e38f, 3e38f);
      }
      const auto x = test::asType(dtype, values);
      const std::size_t bytes = packedBytes(values.size(), 128);
      GuardedBuffer first(bytes, kSectionAlign);
      GuardedBuffer second(bytes, kSectionAlign);
      GuardedBuffer decoded(values.size() * typeBytes);
      EncodeCounts counts;
      referenceEncode(dtype, x->data(), values.size(), {128, false, 0, 0}, first.data(), &counts);
      referenceDecode(dtype, first.data(), values.size(), 128, decoded.data());
      referenceEncode(dtype, decoded.data(), values.size(), {128, false, 0, 0}, second.data(), &counts);
      ASSERT_EQ(counts.nonFiniteBlocks, 0u);
      const std::size_t codesAt = frameScaleBytes(values.size(), 128);
      ASSERT_EQ(std::memcmp(first.data() + codesAt, second.data() + codesAt, bytes - codesAt), 0)
          << "type " << dtype << ", shape " << static_cast<int>(shape);
    }
  }
}

}  // namespace
}  // namespace qccl::quant
