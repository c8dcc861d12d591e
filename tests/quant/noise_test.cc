// Stochastic rounding: unbiased, a pure function of key and element index. The statistics that judge the noise are shown to reject noise
// that is broken.
#include "quant/noise.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <set>

#include "quant/codes.hpp"
#include "quant/reference.hpp"
#include "quant/test_values.hpp"

namespace qccl::quant {
namespace {

using test::GuardedBuffer;
using Noise = std::function<float(std::uint64_t index)>;

constexpr std::uint64_t kSamples = 200000;
// Deviations of a mean of independent samples. A fixed seed makes the outcome fixed; five deviations would be passed by chance in all but 6
// of 10 million seeds.
constexpr double kDeviations = 5.0;

Noise trueNoise(std::uint64_t key) {
  return [key](std::uint64_t index) { return uniformNoise(key, index); };
}

// How far, in deviations, the mean of the codes of x lies from x, in a block with a = 127 (where codes are values). A code is floor(x) +
// Bernoulli(f) with f = x - floor(x): its variance is f (1 - f), that of the mean f (1 - f) / kSamples. Noise in steps of 2^-24 shifts the
// mean by less than 2^-24, which is subtracted.
double deviationsOfMean(float x, const Noise& noise) {
  double sum = 0.0;
  for (std::uint64_t i = 0; i < kSamples; ++i) sum += static_cast<double>(IntCode<8>::value(IntCode<8>::stochastic(x, noise(i))));
  const double f = static_cast<double>(x) - std::floor(static_cast<double>(x));
  const double off = std::fabs(sum / static_cast<double>(kSamples) - static_cast<double>(x)) - 0x1p-24;
  return off / std::sqrt(f * (1.0 - f) / static_cast<double>(kSamples));
}

constexpr float kBetweenCodes[] = {0.5f, 0.1f, -0.1f, 0.9f, 3.3f, -3.3f, 126.75f, -126.75f, 0.001f, -77.999f};

bool isUnbiased(const Noise& noise) {
  for (const float x : kBetweenCodes) {
    if (deviationsOfMean(x, noise) > kDeviations) return false;
  }
  return true;
}

// Correlation of neighbours: the mean of (u - 1/2)(v - 1/2) over independent uniform pairs has variance (1/12)^2 / samples.
bool hasIndependentNeighbours(const Noise& noise) {
  double sum = 0.0;
  for (std::uint64_t i = 0; i < kSamples; ++i) {
    sum += (static_cast<double>(noise(i)) - 0.5) * (static_cast<double>(noise(i + 1)) - 0.5);
  }
  return std::fabs(sum / static_cast<double>(kSamples)) < kDeviations / 12.0 / std::sqrt(static_cast<double>(kSamples));
}

// Chi-squared over 256 bins of the noise's range: mean 255, deviation sqrt(510).
bool isUniform(const Noise& noise) {
  std::vector<double> counts(256, 0.0);
  for (std::uint64_t i = 0; i < kSamples; ++i) {
    const float u = noise(i);
    if (!(u >= 0.0f && u < 1.0f)) return false;
    counts[static_cast<std::size_t>(u * 256.0f)] += 1.0;
  }
  const double expected = static_cast<double>(kSamples) / 256.0;
  double chi2 = 0.0;
  for (const double count : counts) chi2 += (count - expected) * (count - expected) / expected;
  return std::fabs(chi2 - 255.0) < kDeviations * std::sqrt(510.0);
}

TEST(Noise, RoundingIsUnbiased) {
  for (const std::uint64_t seed : {0u, 1u, 12345u}) EXPECT_TRUE(isUnbiased(trueNoise(noiseKey(seed, 0, 0, 0)))) << seed;
}

TEST(Noise, IsUniformAndNeighboursAreIndependent) {
  for (std::uint64_t rank = 0; rank < 4; ++rank) {
    const Noise noise = trueNoise(noiseKey(7, 3, rank, 1));
    EXPECT_TRUE(isUniform(noise)) << rank;
    EXPECT_TRUE(hasIndependentNeighbours(noise)) << rank;
  }
}

// The same for every codec: values between neighbouring codes of either sign, in every binade that the codes have, and near the largest.
// With codes far apart in size the deviation is that of the two codes around the value.
template <typename Round>
double deviationsOfRoundedMean(float x, float below, float above, Round round, const Noise& noise) {
  double sum = 0.0;
  for (std::uint64_t i = 0; i < kSamples; ++i) sum += static_cast<double>(round(x, noise(i)));
  const double step = static_cast<double>(above) - static_cast<double>(below);
  const double f = (static_cast<double>(x) - static_cast<double>(below)) / step;
  const double off = std::fabs(sum / static_cast<double>(kSamples) - static_cast<double>(x)) - step * 0x1p-16;
  return off / (step * std::sqrt(f * (1.0 - f) / static_cast<double>(kSamples)));
}

template <typename Round>
bool isUnbiasedBetween(const std::vector<float>& codes, Round round, const Noise& noise) {
  for (std::size_t i = 0; i + 1 < codes.size(); ++i) {
    for (const float share : {0.5f, 0.1f}) {
      const float x = codes[i] + share * (codes[i + 1] - codes[i]);
      if (deviationsOfRoundedMean(x, codes[i], codes[i + 1], round, noise) > kDeviations) return false;
    }
  }
  return true;
}

// Some neighbouring values of a Code, by value: all of the short codes, every 16th pair of the long ones.
template <typename Code>
std::vector<std::vector<float>> neighbours() {
  std::set<float> values;
  for (std::uint32_t bits = 0; bits < 1u << Code::kBits; ++bits) {
    const auto code = static_cast<std::uint8_t>(Code::kIsInteger && bits >> (Code::kBits - 1) ? bits - (1u << Code::kBits) : bits);
    if (std::fabs(Code::value(code)) <= Code::kMax) values.insert(Code::value(code));
  }
  const std::vector<float> sorted(values.begin(), values.end());
  std::vector<std::vector<float>> pairs;
  for (std::size_t i = 0; i + 1 < sorted.size(); i += Code::kBits == 8 ? 23 : Code::kBits - 3) pairs.push_back({sorted[i], sorted[i + 1]});
  return pairs;
}

TEST(Noise, RoundingIsUnbiasedInEveryCodec) {
  const Noise noise = trueNoise(noiseKey(3, 0, 0, 0));
  for (const qcclCodec_t codec :
       {qcclCodecInt8, qcclCodecInt6, qcclCodecInt5, qcclCodecInt4, qcclCodecFp8E4m3, qcclCodecFp8E5m2, qcclCodecFp4E2m1}) {
    withCode(codec, [&]<typename Code>(Code) {
      const auto round = [](float x, float u) { return Code::value(Code::stochastic(x, u)); };
      const auto toNearest = [](float x, float) { return Code::value(Code::nearest(x)); };
      bool nearestIsUnbiased = true;
      for (const std::vector<float>& pair : neighbours<Code>()) {
        EXPECT_TRUE(isUnbiasedBetween(pair, round, noise)) << "codec " << codec << ", between " << pair[0] << " and " << pair[1];
        nearestIsUnbiased = nearestIsUnbiased && isUnbiasedBetween(pair, toNearest, noise);
      }
      EXPECT_FALSE(nearestIsUnbiased) << "codec " << codec << ": the statistics accept rounding to nearest";
    });
  }
  const auto round = [](float x, float u) { return fromBfloat16(bfloat16Stochastic(x, u)); };
  for (const float one : {1.0f, -3.0e-5f, 700.0f}) {
    const auto bits = static_cast<std::uint16_t>(bitsOf(one) >> 16);
    const float a = fromBfloat16(bits), b = fromBfloat16(static_cast<std::uint16_t>(bits + 1));
    EXPECT_TRUE(isUnbiasedBetween({std::min(a, b), std::max(a, b)}, round, noise)) << one;
  }
}

TEST(Noise, TheSameStatisticsRejectBrokenNoise) {
  EXPECT_FALSE(isUnbiased([](std::uint64_t) { return 0.5f; })) << "constant";
  EXPECT_FALSE(isUnbiased([](std::uint64_t) { return 0.0f; })) << "always up";
  EXPECT_FALSE(isUnbiased([](std::uint64_t i) { return 0.99f * uniformNoise(1, i); })) << "a range that is a hundredth short";
  EXPECT_FALSE(isUniform([](std::uint64_t i) { return 0.99f * uniformNoise(1, i); }));
  EXPECT_FALSE(hasIndependentNeighbours([](std::uint64_t i) { return static_cast<float>(i % 64) / 64.0f; })) << "a counter";
}

TEST(Noise, RanksAndStepsAndCallsHaveNoiseOfTheirOwn) {
  std::set<std::uint64_t> keys;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    for (std::uint64_t call = 0; call < 20; ++call) {
      for (std::uint64_t rank = 0; rank < 20; ++rank) {
        for (std::uint64_t step = 0; step < 20; ++step) keys.insert(noiseKey(seed, call, rank, step));
      }
    }
  }
  EXPECT_EQ(keys.size(), 3u * 20u * 20u * 20u);

  // Two ranks with the same values: the correlation of their roundings is that of independent noise.
  const Noise a = trueNoise(noiseKey(1, 1, 0, 0));
  const Noise b = trueNoise(noiseKey(1, 1, 1, 0));
  double sum = 0.0;
  for (std::uint64_t i = 0; i < kSamples; ++i) sum += (static_cast<double>(a(i)) - 0.5) * (static_cast<double>(b(i)) - 0.5);
  EXPECT_LT(std::fabs(sum / static_cast<double>(kSamples)), kDeviations / 12.0 / std::sqrt(static_cast<double>(kSamples)));
}

constexpr PackedFormat kFormat{qcclCodecInt8, qcclScaleFloat32, 64};

std::vector<unsigned char> encoded(const std::vector<float>& values, std::uint64_t key, std::uint64_t firstElemIndex) {
  std::vector<unsigned char> result(packedBytes(values.size(), kFormat));
  GuardedBuffer packed(result.size(), kSectionAlign);
  EncodeCounts counts;
  referenceEncode(qcclFloat32, values.data(), values.size(), {kFormat, true, key, firstElemIndex, false}, packed.data(), &counts);
  if (!result.empty()) std::memcpy(result.data(), packed.data(), result.size());
  return result;
}

TEST(Noise, CodesDoNotDependOnHowAMessageIsCut) {
  test::Random random(21);
  const std::vector<float> values = test::makeValues(test::Shape::normal, 5 * frameElems(64) + 77, random);
  const std::vector<unsigned char> whole = encoded(values, 99, 1000);
  for (const std::size_t frames : {1, 2, 3, 5}) {
    const std::size_t tile = frames * frameElems(64);
    std::vector<unsigned char> pieces;
    for (std::size_t first = 0; first < values.size(); first += tile) {
      const std::vector<float> piece(values.begin() + static_cast<std::ptrdiff_t>(first),
                                     values.begin() + static_cast<std::ptrdiff_t>(std::min(values.size(), first + tile)));
      const std::vector<unsigned char> bytes = encoded(piece, 99, 1000 + first);
      pieces.insert(pieces.end(), bytes.begin(), bytes.end());
    }
    EXPECT_EQ(pieces, whole) << frames;
  }
  EXPECT_NE(encoded(values, 99, 1001), whole) << "the index of the first element has no effect";
}

TEST(Noise, CodesDifferBetweenKeys) {
  // Values halfway between codes: two independent roundings agree on half of them.
  std::vector<float> values(4096, 10.5f);
  for (std::size_t i = 0; i < values.size(); i += 64) values[i] = 127.0f;
  const std::vector<unsigned char> a = encoded(values, 1, 0);
  const std::vector<unsigned char> b = encoded(values, 2, 0);
  std::size_t different = 0;
  for (std::size_t i = 0; i < a.size(); ++i) different += a[i] != b[i] ? 1u : 0u;
  const double deviation = std::sqrt(0.25 * 4032.0);
  EXPECT_NEAR(static_cast<double>(different), 2016.0, kDeviations * deviation);
  EXPECT_EQ(encoded(values, 1, 0), a);
}

}  // namespace
}  // namespace qccl::quant
