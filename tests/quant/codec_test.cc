// What the codecs promise, shown on the oracle. (kernels_test.cc shows that every fast version has the oracle's bits.)
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "quant/block_scale.hpp"
#include "quant/codes.hpp"
#include "quant/formats.hpp"
#include "quant/precision.hpp"
#include "quant/reference.hpp"
#include "quant/test_values.hpp"

namespace qccl::quant {
namespace {

using test::GuardedBuffer;
using test::Random;
using test::Shape;

// The rounding of a decoded value that is denormal.
constexpr double kHalfDenormal = 0x1p-150;

// As finely as BF16 scales tell denormals apart.
constexpr double kBfloat16Denormal = 0x1p-133;

// E8M0 scales end at 2^-127, and so do the steps of codes.
constexpr double kLeastE8m0Step = 0x1p-127;

constexpr PackedFormat int8Format(std::size_t blockElems) { return {qcclCodecInt8, qcclScaleFloat32, blockElems}; }

struct RoundTrip {
  std::vector<float> decoded;
  std::vector<std::uint32_t> scales;  // as stored, by block
  std::vector<std::uint16_t> codes;
  EncodeCounts counts;
};

RoundTrip roundTrip(const std::vector<float>& values, const EncodeOptions& options) {
  const PackedFormat& format = options.format;
  GuardedBuffer packed(packedBytes(values.size(), format), kSectionAlign);
  RoundTrip result;
  referenceEncode(qcclFloat32, values.data(), values.size(), options, packed.data(), &result.counts);
  result.decoded.resize(values.size());
  referenceDecode(qcclFloat32, packed.data(), values.size(), format, result.decoded.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i % format.blockElems == 0) result.scales.push_back(scaleAt(packed.data(), values.size(), format, i));
    result.codes.push_back(codeAt(packed.data(), values.size(), format, i));
  }
  return result;
}

RoundTrip roundTrip(const std::vector<float>& values, const PackedFormat& format, bool stochastic = false, std::uint64_t key = 0) {
  return roundTrip(values, EncodeOptions{format, stochastic, key, 0, true});
}

constexpr Shape kFiniteShapes[] = {Shape::normal,  Shape::heavyTailed, Shape::ties, Shape::zeros,   Shape::denormals,      Shape::oneUnit,
                                   Shape::oneHuge, Shape::tiny,        Shape::huge, Shape::maximum, Shape::aroundThreshold};

TEST(Codec, ErrorStaysBelowTheBoundAtEveryMagnitude) {
  Random random(11);
  for (const Shape shape : kFiniteShapes) {
    for (const bool stochastic : {false, true}) {
      for (const std::size_t block : {32, 256}) {
        const std::vector<float> values = test::makeValues(shape, 2 * block + 21, random);
        for (const PackedFormat& format : formats(block)) {
          SCOPED_TRACE(testing::Message() << nameOf(format) << ", shape " << static_cast<int>(shape) << ", stochastic " << stochastic);
          const RoundTrip result = roundTrip(values, format, stochastic, random());
          ASSERT_EQ(result.counts.blocks, 3u);
          ASSERT_EQ(result.counts.nonFiniteBlocks, 0u);
          const double factor = largestError(format, stochastic);
          // Half a step, or a whole one: of the smallest code that E8M0 can express.
          const double least = kHalfDenormal + (format.scale == qcclScaleE8m0 ? kLeastE8m0Step : 0.0) +
                               (format.scale == qcclScaleBfloat16 ? factor * kBfloat16Denormal : 0.0);
          for (std::size_t i = 0; i < values.size(); ++i) {
            const double a = largestMagnitude(values, i / block * block, block);
            const double error = std::fabs(static_cast<double>(values[i]) - static_cast<double>(result.decoded[i]));
            // What rounds beyond the largest float is infinite where the code or the scale has an exponent of its own.
            const bool mayOverflow = format.codec == qcclCodecBf16 || format.scale == qcclScaleE8m0;
            if (mayOverflow && std::isinf(result.decoded[i]) && std::fabs(values[i]) > 0x1p127f) continue;
            ASSERT_LE(error, factor * a + least + (format.codec == qcclCodecBf16 ? 0x1p-133 : 0.0))
                << "element " << i << " = " << values[i];
          }
        }
      }
    }
  }
}

// The bounds are not looser than they need be: among many values some come within a tenth of them.
TEST(Codec, TheBoundIsReached) {
  Random random(31);
  for (const PackedFormat& format : formats(32)) {
    for (const bool stochastic : {false, true}) {
      double closest = 0.0;
      for (int repeat = 0; repeat < 3000 && closest < 0.9; ++repeat) {
        std::vector<float> values(32);
        values[0] = std::exp2(static_cast<float>(random() % 1000) / 1000.0f);  // the largest
        for (std::size_t i = 1; i < 32; ++i) values[i] = values[0] * static_cast<float>(random() % 4096) / 4096.0f;
        const RoundTrip result = roundTrip(values, format, stochastic, random());
        for (std::size_t i = 0; i < values.size(); ++i) {
          const double error = std::fabs(static_cast<double>(values[i]) - static_cast<double>(result.decoded[i]));
          closest = std::max(closest, error / (largestError(format, stochastic) * largestMagnitude(values, 0, 32)));
        }
      }
      EXPECT_GE(closest, 0.9) << nameOf(format) << ", stochastic " << stochastic;
      EXPECT_LE(closest, 1.0) << nameOf(format) << ", stochastic " << stochastic;
    }
  }
}

// Every value that a code can stand for is coded as that code, at every magnitude of the block and with every scale.
TEST(Codec, EveryCodeIsTheCodeOfItsValue) {
  for (const PackedFormat& format : formats(256)) {
    if (format.codec == qcclCodecBf16) continue;
    withCode(format.codec, [&]<typename Code>(Code) {
      for (const int exponent : {-110, -97, -60, -1, 0, 3, 90}) {
        std::vector<float> values;
        for (std::uint32_t bits = 0; bits < 1u << Code::kBits; ++bits) {
          const auto code = static_cast<std::uint8_t>(Code::kIsInteger && bits >> (Code::kBits - 1) ? bits - (1u << Code::kBits) : bits);
          const float value = Code::value(code);
          // Codes that no encoder writes: the most negative integer, numbers beyond the largest, -0.
          if (std::fabs(value) > Code::kMax || bitsOf(value) == 0x80000000u) continue;
          values.push_back(std::ldexp(value, exponent));
        }
        for (const bool stochastic : {false, true}) {
          const RoundTrip result = roundTrip(values, format, stochastic, 7);
          for (std::size_t i = 0; i < values.size(); ++i) {
            const float expected = std::ldexp(Code::value(static_cast<std::uint8_t>(result.codes[i])), exponent);
            // A BF16 scale is not exactly the largest code (127, 448): then the nearest code is this one all the same.
            if (stochastic && format.scale == qcclScaleBfloat16) continue;
            if (stochastic && std::fabs(expected - values[i]) > 0.0f) {
              // (code * a / max) * (max / a) may miss the code by a rounding error, and the noise may then see it.
              ASSERT_NEAR(result.decoded[i], values[i], std::ldexp(static_cast<double>(Code::kMax), exponent) * largestError(format, true));
              continue;
            }
            ASSERT_EQ(expected, values[i]) << nameOf(format) << ", exponent " << exponent << ", value " << i;
          }
        }
      }
    });
  }
}

// Blocks of all sizes within an octave, each weighed by its size: with power-of-two scales precision depends on it.
TEST(Codec, PredictedPrecisionIsWhatNormalValuesShow) {
  Random random(32);
  for (const std::size_t block : {64, 256, 2048}) {
    std::vector<float> values = test::makeValues(Shape::normal, 262144, random);
    const auto size = [block](std::size_t i) { return std::exp2(static_cast<float>(i / block % 16) / 16.0f); };
    for (std::size_t i = 0; i < values.size(); ++i) values[i] *= size(i);
    for (const PackedFormat& format : formats(block)) {
      for (const bool stochastic : {false, true}) {
        const RoundTrip result = roundTrip(values, format, stochastic, random());
        double noise = 0.0, power = 0.0;
        for (std::size_t i = 0; i < values.size(); ++i) {
          noise += std::pow((static_cast<double>(values[i]) - static_cast<double>(result.decoded[i])) / static_cast<double>(size(i)), 2);
          power += std::pow(static_cast<double>(values[i] / size(i)), 2);
        }
        EXPECT_NEAR(predictedSnrDb(format, stochastic), 10.0 * std::log10(power / noise), 0.3)
            << nameOf(format) << ", stochastic " << stochastic;
      }
    }
  }
}

TEST(Codec, BlocksBeyondTheRangeOfBfloat16ScalesLoseLessThanHalfAStep) {
  const float largest = std::numeric_limits<float>::max();
  for (const qcclCodec_t codec : {qcclCodecInt8, qcclCodecInt4, qcclCodecFp8E4m3}) {
    const RoundTrip result = roundTrip({largest, -largest, 1e38f}, PackedFormat{codec, qcclScaleBfloat16, 32});
    EXPECT_EQ(result.scales[0], kMaxBfloat16ScaleBits);
    EXPECT_FLOAT_EQ(result.decoded[0], fromBfloat16(kMaxBfloat16ScaleBits));
    EXPECT_EQ(result.counts.saturated, 2u);
  }
}

TEST(Codec, CountsWhatIsFlushedInSampledBlocks) {
  std::vector<float> values(130 * 32, 1.0f);  // blocks 0, 64 and 128 are looked at
  values[5] = 1e-6f;
  values[6] = 0.0f;
  values[32 + 5] = 1e-6f;
  values[64 * 32 + 1] = -1e-9f;
  const RoundTrip result = roundTrip(values, int8Format(32));
  EXPECT_EQ(result.counts.sampledElems, 3u * 32u);
  EXPECT_EQ(result.counts.flushed, 2u);
  EXPECT_EQ(result.counts.saturated, 0u);
}

// Nothing in the codec knows an absolute magnitude: a block and its multiple by a power of two have the same codes, and decode to the same
// multiple where that is normal.
TEST(Codec, PrecisionIsRelative) {
  Random random(12);
  const std::vector<float> values = test::makeValues(Shape::normal, 256, random);
  const RoundTrip expected = roundTrip(values, PackedFormat{});
  for (int exponent = -124; exponent <= 124; ++exponent) {
    std::vector<float> scaled = values;
    bool normal = true;
    for (float& x : scaled) {
      x = std::ldexp(x, exponent);
      normal = normal && (x == 0.0f || std::fabs(x) >= 0x1p-126f);
    }
    const RoundTrip result = roundTrip(scaled, PackedFormat{});
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
  const RoundTrip result = roundTrip(values, PackedFormat{});
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
    const RoundTrip result = roundTrip(values, PackedFormat{});
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(result.decoded[i], values[i]) << largest << " units";
  }
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
    const RoundTrip result = roundTrip(values, PackedFormat{});
    EXPECT_EQ(result.scales[0], bits);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto code = static_cast<std::int8_t>(result.codes[i]);
      const double exact = static_cast<double>(code) * static_cast<double>(a) / 127.0;
      ASSERT_NEAR(result.decoded[i], exact, std::fabs(exact) * 0x1p-23);
      ASSERT_EQ(code, std::lrint(static_cast<double>(values[i]) * 127.0 / static_cast<double>(a)));
    }
  }
}

TEST(Codec, AnAllZeroBlockIsZero) {
  for (const PackedFormat& format : formats(32)) {
    for (const bool stochastic : {false, true}) {
      const RoundTrip result = roundTrip({0.0f, -0.0f, 0.0f, -0.0f}, format, stochastic, 5);
      EXPECT_EQ(result.scales[0], 0u);
      for (const float x : result.decoded) EXPECT_EQ(x, 0.0f);
      if (format.codec == qcclCodecBf16) continue;  // which keeps the sign of a zero
      for (const std::uint16_t code : result.codes) EXPECT_EQ(code, 0u);
      for (const float x : result.decoded) EXPECT_EQ(bitsOf(x), 0u);
    }
  }
}

TEST(Codec, NonFiniteValuesSpoilTheirBlockAndNoOther) {
  Random random(15);
  constexpr std::size_t kBlock = 64;
  const std::vector<float> clean = test::makeValues(Shape::normal, 20 * kBlock + 9, random);
  for (const PackedFormat& format : formats(kBlock)) {
    const RoundTrip expected = roundTrip(clean, format);
    for (const std::uint32_t bad : {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u, 0x7f800001u, 0xffffffffu}) {
      for (std::size_t place = 0; place < clean.size(); place += 261) {
        for (const bool stochastic : {false, true}) {
          std::vector<float> values = clean;
          values[place] = floatFromBits(bad);
          const RoundTrip result = roundTrip(values, format, stochastic);
          ASSERT_EQ(result.counts.nonFiniteBlocks, 1u);
          ASSERT_EQ(result.counts.blocks, 21u);
          for (std::size_t i = 0; i < values.size(); ++i) {
            const bool spoilt = format.codec == qcclCodecBf16 ? i == place : i / kBlock == place / kBlock;
            if (spoilt) {
              ASSERT_FALSE(std::isfinite(result.decoded[i])) << nameOf(format) << " " << i;
              ASSERT_TRUE(format.codec == qcclCodecBf16 || std::isnan(result.decoded[i])) << nameOf(format) << " " << i;
            } else if (!stochastic) {
              ASSERT_EQ(bitsOf(result.decoded[i]), bitsOf(expected.decoded[i])) << nameOf(format) << " " << i;
            } else {
              ASSERT_TRUE(std::isfinite(result.decoded[i])) << nameOf(format) << " " << i;
            }
          }
        }
      }
    }
  }
}

TEST(Codec, AddingToZerosIsDecoding) {
  Random random(16);
  for (const PackedFormat& format : formats(64)) {
    for (int repeat = 0; repeat < 10; ++repeat) {
      const std::vector<float> values = test::makeHostileValues(1000, 64, random);
      GuardedBuffer packed(packedBytes(values.size(), format), kSectionAlign);
      EncodeCounts counts;
      referenceEncode(qcclFloat32, values.data(), values.size(), {format, false, 0, 0, false}, packed.data(), &counts);
      std::vector<float> decoded(values.size());
      std::vector<float> sum(values.size(), 0.0f);
      referenceDecode(qcclFloat32, packed.data(), values.size(), format, decoded.data());
      referenceDecodeAdd(packed.data(), values.size(), format, sum.data());
      for (std::size_t i = 0; i < values.size(); ++i) {
        // bf16 keeps the sign of a zero and the payload of a NaN; a sum need not.
        if (std::isnan(decoded[i]) && std::isnan(sum[i])) continue;
        ASSERT_EQ(bitsOf(decoded[i] + 0.0f), bitsOf(sum[i])) << nameOf(format) << ", element " << i;
      }
    }
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
      const PackedFormat format = int8Format(128);
      const std::size_t bytes = packedBytes(values.size(), format);
      GuardedBuffer first(bytes, kSectionAlign);
      GuardedBuffer second(bytes, kSectionAlign);
      GuardedBuffer decoded(values.size() * typeBytes);
      EncodeCounts counts;
      referenceEncode(dtype, x->data(), values.size(), {format, false, 0, 0, false}, first.data(), &counts);
      referenceDecode(dtype, first.data(), values.size(), format, decoded.data());
      referenceEncode(dtype, decoded.data(), values.size(), {format, false, 0, 0, false}, second.data(), &counts);
      ASSERT_EQ(counts.nonFiniteBlocks, 0u);
      const std::size_t codesAt = frameScaleBytes(values.size(), format);
      ASSERT_EQ(std::memcmp(first.data() + codesAt, second.data() + codesAt, bytes - codesAt), 0)
          << "type " << dtype << ", shape " << static_cast<int>(shape);
    }
  }
}

}  // namespace
}  // namespace qccl::quant
