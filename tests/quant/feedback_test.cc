// What error feedback promises, shown on the oracle.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "quant/formats.hpp"
#include "quant/precision.hpp"
#include "quant/reference.hpp"
#include "quant/test_values.hpp"

namespace qccl::quant {
namespace {

using test::GuardedBuffer;
using test::Random;
using test::Shape;

TEST(Codec, FeedbackCarriesTheErrorToTheNextCall) {
  Random random(33);
  const std::vector<float> values = test::makeValues(Shape::normal, 1000, random);
  for (const PackedFormat& format : formats(64)) {
    const PackedFormat restFormat = residualFormat(64);
    GuardedBuffer rest(packedBytes(values.size(), restFormat), kSectionAlign, 0);
    GuardedBuffer packed(packedBytes(values.size(), format), kSectionAlign);
    std::vector<double> mean(values.size(), 0.0);
    constexpr int kCalls = 64;
    for (int call = 0; call < kCalls; ++call) {
      EncodeCounts counts;
      referenceEncodeFeedback(qcclFloat32, values.data(), values.size(), {format, false, 0, 0, false}, rest.data(), packed.data(), &counts);
      std::vector<float> decoded(values.size());
      referenceDecode(qcclFloat32, packed.data(), values.size(), format, decoded.data());
      for (std::size_t i = 0; i < values.size(); ++i) mean[i] += static_cast<double>(decoded[i]) / kCalls;
    }
    // What is left over after all calls is one call's error and what 8 bits lose of it each time, which wanders.
    const double once = largestError(format, false);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double a = largestMagnitude(values, i / 64 * 64, 64);
      ASSERT_LE(std::fabs(mean[i] - static_cast<double>(values[i])), 2.0 * once * a / kCalls + 4.0 * once * a / 127.0)
          << nameOf(format) << ", element " << i;
    }
  }
}

TEST(Codec, ANonFiniteBlockLeavesNoResidual) {
  std::vector<float> values(64, 1.3f);
  values[3] = std::numeric_limits<float>::quiet_NaN();
  for (const PackedFormat& format : formats(32)) {
    const PackedFormat restFormat = residualFormat(32);
    GuardedBuffer rest(packedBytes(values.size(), restFormat), kSectionAlign, 0);
    GuardedBuffer packed(packedBytes(values.size(), format), kSectionAlign);
    EncodeCounts counts;
    referenceEncodeFeedback(qcclFloat32, values.data(), values.size(), {format, false, 0, 0, false}, rest.data(), packed.data(), &counts);
    EXPECT_EQ(counts.nonFiniteBlocks, 1u);
    std::vector<float> left(values.size());
    referenceDecode(qcclFloat32, rest.data(), values.size(), restFormat, left.data());
    for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(left[i], 0.0f);
    for (std::size_t i = 32; i < 64; ++i) EXPECT_TRUE(std::isfinite(left[i]));
  }
}

}  // namespace
}  // namespace qccl::quant
