#include "io/float16.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace qccl::train {
namespace {

struct Format {
  float (*from)(std::uint16_t);
  std::uint16_t (*to)(float);
  std::uint32_t infinity;  // its bits, without sign
};
const Format kFormats[] = {{fromBFloat16, toBFloat16, 0x7f80}, {fromFloat16, toFloat16, 0x7c00}};

// Every value of the format survives, and what lies between two neighbours goes to the nearer, the middle to the even one.
TEST(Float16, RoundsToNearestEvenEverywhere) {
  for (const Format& format : kFormats) {
    for (std::uint32_t bits = 0; bits < format.infinity; ++bits) {
      const auto low = static_cast<std::uint16_t>(bits), high = static_cast<std::uint16_t>(bits + 1);
      const float a = format.from(low);
      ASSERT_EQ(format.to(a), low);
      ASSERT_EQ(format.to(-a), low | 0x8000);
      ASSERT_EQ(format.from(static_cast<std::uint16_t>(low | 0x8000)), -a);
      if (bits + 1 == format.infinity) continue;
      const float b = format.from(high);
      ASSERT_LT(a, b);
      const double middle = (static_cast<double>(a) + static_cast<double>(b)) / 2;
      const auto exact = static_cast<float>(middle);
      if (static_cast<double>(exact) != middle) continue;  // BF16's smallest: the middle is no FP32 number
      ASSERT_EQ(format.to(exact), bits % 2 == 0 ? low : high);
      ASSERT_EQ(format.to(std::nextafter(exact, a)), low);
      ASSERT_EQ(format.to(std::nextafter(exact, b)), high);
    }
  }
}

TEST(Float16, KnownValues) {
  EXPECT_EQ(toFloat16(1.0F), 0x3c00);
  EXPECT_EQ(toFloat16(65504.0F), 0x7bff);
  EXPECT_EQ(toFloat16(65519.9F), 0x7bff);
  EXPECT_EQ(toFloat16(65520.0F), 0x7c00);
  EXPECT_EQ(toFloat16(0x1p-24F), 0x0001);
  EXPECT_EQ(toFloat16(0x1p-25F), 0x0000);
  EXPECT_EQ(toBFloat16(1.0F), 0x3f80);
  EXPECT_EQ(toBFloat16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(fromFloat16(0x3555), 0.333251953125F);
}

TEST(Float16, NonFiniteStaysNonFinite) {
  for (const Format& format : kFormats) {
    const float infinity = std::numeric_limits<float>::infinity();
    EXPECT_EQ(format.from(format.to(infinity)), infinity);
    EXPECT_EQ(format.from(format.to(-infinity)), -infinity);
    for (const std::uint32_t bits : {0x7fc00000U, 0x7f800001U, 0xff800001U, 0x7fffffffU}) {
      EXPECT_TRUE(std::isnan(format.from(format.to(std::bit_cast<float>(bits))))) << bits;
    }
  }
}

}  // namespace
}  // namespace qccl::train
