// What formats are tried on: those of the library are what a plan would keep, and those that it has not are as good as they could be.
#include "activations/format_errors.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "trained_model.hpp"

namespace qccl::train {
namespace {

using test_support::TrainedModel;
using test_support::trainedModel;
using testing::HasSubstr;

const TriedFormat& tried(const std::vector<TriedFormat>& formats, const std::string& name, int block) {
  return *std::find_if(formats.begin(), formats.end(), [&](const auto& each) { return each.name == name && each.blockElems == block; });
}

TEST(FormatErrors, AZeroPointSpansFromTheLeastToTheLargestValue) {
  std::vector<float> values;
  for (int i = 0; i < 32; ++i) values.push_back(3.0F + 0.25F * static_cast<float>(i % 16));
  EXPECT_EQ(roundTripWithZero(values, 4, 32), values) << "sixteen steps, none of them 0";
  const std::vector<float> alike(40, -1.5F);
  EXPECT_EQ(roundTripWithZero(alike, 4, 32), alike);
}

TEST(FormatErrors, ASignedScaleUsesAllCodes) {
  std::vector<float> values;
  for (int i = 0; i < 32; ++i) values.push_back(0.5F * static_cast<float>(i % 16 - 8));
  EXPECT_EQ(roundTripSigned(values, 4, 32), values);
  for (float& each : values) each = -each;
  EXPECT_EQ(roundTripSigned(values, 4, 32), values) << "the larger side is the positive one";
  const std::vector<float> zeros(40, 0.0F);
  EXPECT_EQ(roundTripSigned(zeros, 4, 32), zeros);
}

// A symmetric block in int4 is wrong by up to 1/14 of its largest value; with one code more by 1/15 at the most.
TEST(FormatErrors, ASignedScaleIsNeverOffByMoreThanAFifteenth) {
  std::mt19937 generator(3);
  std::uniform_real_distribution<float> uniform(-1, 1);
  double worst = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    std::vector<float> values(32);
    for (float& each : values) each = uniform(generator);
    values[0] = 1;
    values[1] = -std::fabs(uniform(generator));
    if (trial % 2 == 1) {
      for (float& each : values) each = -each;
    }
    float largest = 0;
    for (const float each : values) largest = std::max(largest, std::fabs(each));
    const auto restored = roundTripSigned(values, 4, 32);
    for (std::size_t i = 0; i < 32; ++i) {
      worst = std::max(worst, std::fabs(static_cast<double>(restored[i]) - static_cast<double>(values[i])) / static_cast<double>(largest));
    }
  }
  EXPECT_LE(worst, 1.0 / 15 * (1 + 0x1p-7));
  EXPECT_GT(worst, 0.95 / 15);
}

TEST(FormatErrors, BitsAreWhatAValueTakes) {
  const auto formats = triedFormats(qcclScaleBfloat16);
  EXPECT_EQ(formats.size(), 32u);
  EXPECT_DOUBLE_EQ(tried(formats, "int4", 128).bitsAValue, 4.125);
  EXPECT_DOUBLE_EQ(tried(formats, "int4, zero point", 128).bitsAValue, 4.25);
  EXPECT_DOUBLE_EQ(tried(formats, "int4, signed", 128).bitsAValue, 4.125);
  EXPECT_DOUBLE_EQ(tried(formats, "fp4", 32).bitsAValue, 4.5);
}

TEST(FormatErrors, OfTensorsFallWithBitsAndRiseWithBlocks) {
  const auto formats = triedFormats(qcclScaleBfloat16);
  const auto errors = [&](const std::string& name, int block) {
    return tensorErrors(trainedModel().captured, tried(formats, name, block));
  };
  const KindErrors int4 = errors("int4", 64), large = errors("int4", 256), int5 = errors("int5", 64), int8 = errors("int8", 64);
  const KindErrors withSign = errors("int4, signed", 64), withZero = errors("int4, zero point", 64);
  for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) {
    EXPECT_LT(int4[kind], large[kind]) << kSavedKinds[kind];
    EXPECT_LT(int5[kind], 0.6 * int4[kind]) << kSavedKinds[kind];
    EXPECT_LT(int8[kind], 0.1 * int4[kind]) << kSavedKinds[kind];
    EXPECT_LT(withSign[kind], 0.95 * int4[kind]) << kSavedKinds[kind];
    EXPECT_LT(withZero[kind], 0.95 * int4[kind]) << kSavedKinds[kind];
  }
}

// The same as through a pool, with the plan that has this kind in these bits.
TEST(FormatErrors, OfGradientsAreThoseOfThePlan) {
  TrainedModel& trained = trainedModel();
  const TokenBatch batch = test_support::learnableBatch(trained.config.vocab, 2, 32, 7);
  const auto formats = triedFormats(qcclScaleBfloat16);
  FormatProbe probe(trained.model.parameters(), trained.config, *trained.ops, batch);
  GradientProbe pooled(trained.model.parameters(), trained.config, *trained.ops, batch);
  for (const auto& [name, value] : {std::pair{"int4", "4"}, {"fp4", "fp4"}}) {
    const KindErrors errors = probe.gradientErrors(tried(formats, name, 128));
    for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) {
      (void)pooled.run(parseActivationPlan(std::string(kSavedKinds[kind]) + '=' + value + ",rest=32", 128, "bfloat16"));
      EXPECT_GT(errors[kind], 0) << kSavedKinds[kind];
      EXPECT_NEAR(errors[kind], std::sqrt(pooled.squaredError()), 1e-9) << name << ' ' << kSavedKinds[kind];
    }
  }
}

TEST(FormatErrors, TheTableHasFormatsAndKinds) {
  const auto formats = triedFormats(qcclScaleBfloat16);
  std::vector<KindErrors> errors(formats.size());
  const std::string table = formatTable(formats, errors);
  for (const char* part : {"int4, signed", "4.125", "xhat2", "  256  int8"}) EXPECT_THAT(table, HasSubstr(part));
}

}  // namespace
}  // namespace qccl::train
