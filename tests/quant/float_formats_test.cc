// The short floating types against their definition: what a pattern means is computed from its fields with ldexp, and rounding is a search
// for the nearest among all values of the type.
#include "quant/float_formats.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace qccl::quant {
namespace {

struct Format {
  const char* name;
  int exponentBits;
  int mantissaBits;
  bool hasInfinity;  // otherwise the all-ones exponent holds numbers, and only its last pattern is NaN
  float (*toFloat)(std::uint32_t pattern);
  std::uint32_t (*fromFloat)(float x);

  std::uint32_t magnitudes() const { return 1u << (exponentBits + mantissaBits); }  // patterns without sign
  std::uint32_t infinity() const { return ((1u << exponentBits) - 1) << mantissaBits; }
  std::uint32_t firstNonFinite() const { return hasInfinity ? infinity() : magnitudes() - 1; }
  bool isNan(std::uint32_t magnitude) const { return hasInfinity ? magnitude > infinity() : magnitude == magnitudes() - 1; }

  // The value of a pattern that would be a number if the exponent field went on: also the first one beyond the range.
  double value(std::uint32_t magnitude) const {
    const int bias = (1 << (exponentBits - 1)) - 1;
    const int exponent = static_cast<int>(magnitude >> mantissaBits);
    const double mantissa = static_cast<double>(magnitude & ((1u << mantissaBits) - 1)) / static_cast<double>(1u << mantissaBits);
    return exponent == 0 ? std::ldexp(mantissa, 1 - bias) : std::ldexp(1.0 + mantissa, exponent - bias);
  }
};

const Format kFormats[] = {
    {"bfloat16", 8, 7, true, [](std::uint32_t p) { return fromBfloat16(static_cast<std::uint16_t>(p)); },
     [](float x) { return static_cast<std::uint32_t>(toBfloat16(x)); }},
    {"float16", 5, 10, true, [](std::uint32_t p) { return fromFloat16(static_cast<std::uint16_t>(p)); },
     [](float x) { return static_cast<std::uint32_t>(toFloat16(x)); }},
    {"float8e4m3", 4, 3, false, [](std::uint32_t p) { return Float8E4m3::toFloat(static_cast<std::uint8_t>(p)); },
     [](float x) { return static_cast<std::uint32_t>(Float8E4m3::fromFloat(x)); }},
    {"float8e5m2", 5, 2, true, [](std::uint32_t p) { return Float8E5m2::toFloat(static_cast<std::uint8_t>(p)); },
     [](float x) { return static_cast<std::uint32_t>(Float8E5m2::fromFloat(x)); }},
};

// The pattern (without sign) that |x| rounds to: the nearest value, of two equally near the even pattern. What is nearer to the first value
// beyond the range, or as near, overflows.
std::uint32_t nearestByDefinition(const Format& format, const std::vector<double>& values, double x) {
  const auto above = static_cast<std::size_t>(std::lower_bound(values.begin(), values.end(), x) - values.begin());
  if (above == values.size()) return format.firstNonFinite();
  if (above == 0) return 0;
  const double toAbove = values[above] - x;
  const double toBelow = x - values[above - 1];
  const bool up = toAbove < toBelow || (toAbove == toBelow && above % 2 == 0);
  return static_cast<std::uint32_t>(up ? above : above - 1);
}

class FloatFormats : public testing::TestWithParam<Format> {
 protected:
  // The finite values and the first beyond the range, ascending; the index is the pattern.
  std::vector<double> values() const {
    std::vector<double> all;
    for (std::uint32_t p = 0; p <= GetParam().firstNonFinite(); ++p) all.push_back(GetParam().value(p));
    return all;
  }
  std::uint32_t sign() const { return GetParam().magnitudes(); }

  void expectRounded(const std::vector<double>& all, float magnitude) {
    const std::uint32_t expected = nearestByDefinition(GetParam(), all, magnitude);
    ASSERT_EQ(GetParam().fromFloat(magnitude), expected) << std::hexfloat << magnitude;
    ASSERT_EQ(GetParam().fromFloat(-magnitude), expected | sign()) << std::hexfloat << -magnitude;
  }
};

TEST_P(FloatFormats, EveryPatternMeansWhatItsFieldsSay) {
  const Format& format = GetParam();
  for (std::uint32_t magnitude = 0; magnitude < format.magnitudes(); ++magnitude) {
    for (const std::uint32_t s : {0u, sign()}) {
      const float x = format.toFloat(magnitude | s);
      ASSERT_EQ(std::signbit(x), s != 0) << std::hex << (magnitude | s);
      if (format.isNan(magnitude)) {
        ASSERT_TRUE(std::isnan(x)) << std::hex << magnitude;
      } else if (magnitude >= format.firstNonFinite()) {
        ASSERT_TRUE(std::isinf(x)) << std::hex << magnitude;
      } else {
        ASSERT_EQ(std::fabs(static_cast<double>(x)), format.value(magnitude)) << std::hex << magnitude;
      }
    }
  }
}

TEST_P(FloatFormats, EveryPatternComesBack) {
  const Format& format = GetParam();
  for (std::uint32_t pattern = 0; pattern < 2 * format.magnitudes(); ++pattern) {
    const std::uint32_t back = format.fromFloat(format.toFloat(pattern));
    if (format.isNan(pattern & (sign() - 1))) {
      ASSERT_TRUE(format.isNan(back & (sign() - 1))) << std::hex << pattern;
      ASSERT_EQ(back & sign(), pattern & sign()) << std::hex << pattern;
    } else {
      ASSERT_EQ(back, pattern) << std::hex << pattern;
    }
  }
}

TEST_P(FloatFormats, RoundToNearestEvenAroundEveryValueAndTie) {
  const std::vector<double> all = values();
  constexpr float kMax = std::numeric_limits<float>::max();
  for (std::size_t p = 0; p + 1 < all.size(); ++p) {
    const double tie = all[p] + (all[p + 1] - all[p]) / 2;
    for (const double middle : {all[p], tie}) {
      if (middle > static_cast<double>(kMax)) continue;
      const auto exact = static_cast<float>(middle);
      ASSERT_EQ(static_cast<double>(exact), middle);
      expectRounded(all, exact);
      expectRounded(all, std::nextafter(exact, 0.0f));
      if (exact < kMax) expectRounded(all, std::nextafter(exact, kMax));
      if (HasFatalFailure()) return;
    }
  }
  expectRounded(all, kMax);
  expectRounded(all, std::numeric_limits<float>::denorm_min());
}

TEST_P(FloatFormats, RoundToNearestEvenAnywhere) {
  const std::vector<double> all = values();
  std::mt19937 random(31);
  const auto low = static_cast<int>(bitsOf(static_cast<float>(all[1])) >> 23) - 3;
  const auto high = static_cast<int>(bitsOf(static_cast<float>(all[all.size() - 2])) >> 23) + 2;
  for (int i = 0; i < 300000; ++i) {
    const auto bits = static_cast<std::uint32_t>(random());
    const float anywhere = floatFromBits(bits & 0x7fffffffu);
    if (std::isfinite(anywhere)) expectRounded(all, anywhere);
    const int exponent = std::clamp(low + static_cast<int>(random() % static_cast<unsigned>(high - low)), 0, 254);
    expectRounded(all, floatFromBits(static_cast<std::uint32_t>(exponent) << 23 | (bits & 0x7fffffu)));
    if (HasFatalFailure()) return;
  }
}

TEST_P(FloatFormats, InfinityOverflowsAndNanStaysNanOfTheSameSign) {
  const Format& format = GetParam();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(format.fromFloat(kInfinity), format.firstNonFinite());
  EXPECT_EQ(format.fromFloat(-kInfinity), format.firstNonFinite() | sign());
  for (std::uint32_t payload = 1; payload < (1u << 23); payload = payload * 2 + 1) {
    for (const std::uint32_t bits : {kInfBits | payload, kInfBits | (payload ^ 0x7fffffu) | 1u, kInfBits | (1u << 22) | payload}) {
      for (const std::uint32_t s : {0u, 0x80000000u}) {
        const std::uint32_t pattern = format.fromFloat(floatFromBits(bits | s));
        EXPECT_TRUE(format.isNan(pattern & (sign() - 1))) << std::hex << (bits | s);
        EXPECT_EQ((pattern & sign()) != 0, s != 0) << std::hex << (bits | s);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Quant, FloatFormats, testing::ValuesIn(kFormats),
                         [](const testing::TestParamInfo<Format>& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace qccl::quant
