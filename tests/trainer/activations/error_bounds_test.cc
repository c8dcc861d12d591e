// The bounds of docs/activations.md hold on the tensors of a trained model, are not loose for want of care, and are the right ones: each is
// reached by tensors made for it.
#include "activations/error_bounds.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "activations/paper_bounds.hpp"
#include "trained_model.hpp"

namespace qccl::train {
namespace {

using test_support::trainedModel;
using testing::HasSubstr;

ActivationPlan plan(const std::string& text, int block = 128) { return parseActivationPlan(text, block, "bfloat16"); }

std::vector<float> drawn(std::size_t count, std::uint32_t seed, float spread = 1.0F) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-spread, spread);
  std::vector<float> values(count);
  for (float& each : values) each = uniform(generator);
  return values;
}

float rootMeanSquare(const std::vector<float>& values) {
  const double squares = std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
  return static_cast<float>(std::sqrt(squares / static_cast<double>(values.size())));
}

std::vector<float> normalised(std::vector<float> values) {
  const float rms = rootMeanSquare(values);
  for (float& each : values) each /= rms;
  return values;
}

TEST(ErrorBounds, TheModelHasLearned) { EXPECT_LT(trainedModel().loss, 0.8F * trainedModel().firstLoss); }

// How loose a bound may be, as a factor of the root mean square. Rounding errors spread evenly over a step, not at its end: 1.7; they point
// anywhere, and the norm's bound is reached along xhat alone: 2; silu is half as steep where most values are: 2; dot products of errors are
// far below the products of lengths.
double loosest(BoundedQuantity quantity) { return quantity == BoundedQuantity::kAttention ? 60 : 8; }

TEST(ErrorBounds, HoldOnEveryLayerOfATrainedModelInEveryFormat) {
  for (const char* text : {"bf16", "int8", "int6", "int5", "int4", "mixed", "rest=4,lse=32", "fp8", "fp4"}) {
    for (const int block : {32, 128, 4096}) {
      const auto errors = measureBounds(trainedModel().captured, trainedModel().model.parameters(), plan(text, block));
      ASSERT_EQ(errors.size(), 5u * 3);
      for (const BoundedError& each : errors) {
        const std::string where =
            std::string(text) + ", block " + std::to_string(block) + ", layer " + std::to_string(each.layer) + ", " + nameOf(each.quantity);
        EXPECT_GT(each.measured, 0) << where;
        EXPECT_LE(each.worst, 1) << where;
        // With the statistics of forward the bound of a row grows as an exponential does, and promises nothing in 4 bits. The error of a
        // float is that of the largest value for few values only.
        const std::string name = text;
        if (block == 128 && name != "rest=4,lse=32" && name != "fp4" && name != "fp8") {
          EXPECT_LT(each.bound, loosest(each.quantity) * each.measured) << where;
        }
      }
    }
  }
}

TEST(ErrorBounds, WhatIsKeptExactlyDoesNotChange) {
  for (const BoundedError& each : measureBounds(trainedModel().captured, trainedModel().model.parameters(), plan("exact"))) {
    EXPECT_EQ(each.measured, 0);
    EXPECT_EQ(each.bound, 0);
  }
}

// They would not, were the codec's error larger than it is said to be: by a fifth, or that of a format with a bit less.
TEST(ErrorBounds, DoNotHoldForLargerErrors) {
  const std::vector<float>&gate = trainedModel().captured.layers[1].tensors[6], &up = trainedModel().captured.layers[1].tensors[7];
  const auto worst = [&](const ActivationPlan& of, double stretch, const ActivationPlan& limits) {
    const qcclPackedFormat_t format = of.formatOf(1, 6);
    const auto gates = roundTrip(gate, format), ups = roundTrip(up, format);
    const auto gateLimits = errorLimits(gate, limits.formatOf(1, 6)), upLimits = errorLimits(up, limits.formatOf(1, 7));
    double largest = 0;
    for (std::size_t i = 0; i < gate.size(); ++i) {
      const double g = gate[i], u = up[i], g2 = g + stretch * (gates[i] - g), u2 = u + stretch * (ups[i] - u);
      largest = std::max(largest, std::fabs(siluSlope(g2) * u2 - siluSlope(g) * u) / gateSlopeBound(g, u, gateLimits[i], upLimits[i]));
    }
    return largest;
  };
  EXPECT_LE(worst(plan("int4"), 1, plan("int4")), 1);
  EXPECT_GT(worst(plan("int4"), 1.2, plan("int4")), 1);
  EXPECT_GT(worst(plan("int4"), 1, plan("int5")), 1);
}

TEST(ErrorBounds, LimitsOfValuesAreReached) {
  const std::vector<float>& values = trainedModel().captured.layers[0].tensors[0];
  for (const char* text : {"bf16", "int8", "int6", "int5", "int4"}) {
    const auto restored = roundTrip(values, plan(text).formatOf(0, 0));
    const auto limits = errorLimits(values, plan(text).formatOf(0, 0));
    double worst = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      worst = std::max(worst, std::fabs(static_cast<double>(restored[i] - values[i])) / limits[i]);
    EXPECT_LE(worst, 1) << text;
    EXPECT_GT(worst, 0.95) << text;
  }
}

TEST(ErrorBounds, TheNormsChangeIsThatOfTheWholeMatrix) {
  const std::vector<float> x = normalised(drawn(9, 1)), r = drawn(9, 2), w = drawn(9, 3);
  // The largest singular value by the power method on all 81 elements.
  std::vector<double> v(9, 1.0);
  double length = 0;
  for (int step = 0; step < 500; ++step) {
    std::vector<double> image(9), back(9);
    const auto element = [&](std::size_t i, std::size_t j) { return static_cast<double>((x[i] * x[j] - r[i] * r[j]) * w[j]) / 9; };
    for (std::size_t i = 0; i < 9; ++i) {
      for (std::size_t j = 0; j < 9; ++j) image[i] += element(i, j) * v[j];
    }
    for (std::size_t i = 0; i < 9; ++i) {
      for (std::size_t j = 0; j < 9; ++j) back[j] += element(i, j) * image[i];
    }
    length = std::sqrt(std::inner_product(back.begin(), back.end(), back.begin(), 0.0));
    for (std::size_t i = 0; i < 9; ++i) v[i] = back[i] / length;
  }
  EXPECT_NEAR(normJacobianChange(x, r, w), std::sqrt(length), 1e-6);
}

TEST(ErrorBounds, TheNormsBoundHoldsForAllErrorsAndIsReachedAlongXhat) {
  const std::vector<float> x = normalised(drawn(64, 4)), ones(64, 1.0F);
  for (const float size : {0.001F, 0.1F, 1.0F}) {
    const std::vector<double> limits(64, static_cast<double>(size));
    for (std::uint32_t seed = 0; seed < 50; ++seed) {
      std::vector<float> restored = drawn(64, 100 + seed, size);
      for (std::size_t i = 0; i < 64; ++i) restored[i] += x[i];
      EXPECT_LE(normJacobianChange(x, restored, ones), normJacobianBound(limits));
    }
    // As long as the limits allow, and parallel.
    std::vector<float> along = x;
    for (float& each : along) each *= 1 + size;
    EXPECT_NEAR(normJacobianChange(x, along, ones), normJacobianBound(limits), 1e-4 * normJacobianBound(limits));
  }
}

TEST(ErrorBounds, TheConstantsOfSiluAreItsSteepestSlopes) {
  double steepest = 0, mostBent = 0;
  for (double x = -40; x <= 40; x += 1e-3) {
    steepest = std::max(steepest, std::fabs(siluSlope(x)));
    mostBent = std::max(mostBent, std::fabs(siluSlope(x + 1e-4) - siluSlope(x - 1e-4)) / 2e-4);
    EXPECT_NEAR((silu(x + 1e-4) - silu(x - 1e-4)) / 2e-4, siluSlope(x), 1e-7);
  }
  EXPECT_LE(steepest, upSlopeBound(1));
  EXPECT_GT(steepest, 0.99999 * upSlopeBound(1));
  EXPECT_LE(mostBent, 0.5 + 1e-9);
  EXPECT_GT(mostBent, 0.4999);
  // Reached where silu' is steepest, and with it the whole bound.
  EXPECT_GT(std::fabs(siluSlope(1e-3) * 3 - siluSlope(0) * 3), 0.999 * gateSlopeBound(0, 3, 1e-3, 0));
  EXPECT_GT(std::fabs(siluSlope(2) * 3.5 - siluSlope(2) * 3), 0.999 * gateSlopeBound(2, 3, 0, 0.5));
}

double changeOfSoftmax(const std::vector<double>& scores, const std::vector<double>& changed, bool ownSum) {
  double sum = 0, changedSum = 0, change = 0;
  for (const double each : scores) sum += std::exp(each);
  for (const double each : changed) changedSum += std::exp(each);
  for (std::size_t i = 0; i < scores.size(); ++i)
    change += std::fabs(std::exp(changed[i]) / (ownSum ? changedSum : sum) - std::exp(scores[i]) / sum);
  return change;
}

TEST(ErrorBounds, SoftmaxChangesByWhatItsScoresDo) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    const std::vector<float> scores = drawn(20, seed, 4), moves = drawn(20, 1000 + seed, 1);
    for (const double limit : {0.01, 0.5, 3.0}) {
      std::vector<double> before(scores.begin(), scores.end()), after = before;
      for (std::size_t i = 0; i < after.size(); ++i) after[i] += moves[i] > 0 ? limit : -limit;
      EXPECT_LE(changeOfSoftmax(before, after, true), softmaxBound(limit, true));
      EXPECT_LE(changeOfSoftmax(before, after, false), softmaxBound(limit, false));
    }
  }
  // Reached by two scores that move apart through their middle, and by all that rise together.
  EXPECT_NEAR(changeOfSoftmax({-0.5, 0.5}, {0.5, -0.5}, true), softmaxBound(1, true), 1e-12);
  EXPECT_NEAR(changeOfSoftmax({0, 1, 2}, {1, 2, 3}, false), softmaxBound(1, false), 1e-12);
}

TEST(ErrorBounds, TheTableNamesLayersAndQuantities) {
  const std::string table = boundTable(measureBounds(trainedModel().captured, trainedModel().model.parameters(), plan("int4")));
  for (const char* part : {"norm1", "d/dgate", "attention", "\n    2 "}) EXPECT_THAT(table, HasSubstr(part));
}

// ------------------------------------------------------------------------------------------------
// The paper's
// ------------------------------------------------------------------------------------------------

TEST(PaperBounds, InFewBitsSomeValueOfEveryTokenIsLostSoThatCase1SaysNothing) {
  for (const PaperBounds& each : measurePaperBounds(trainedModel().captured, trainedModel().model.parameters(), plan("int4"))) {
    EXPECT_GT(each.lostShare, 0.99);
    EXPECT_LE(each.case1, each.case1Bound);
    EXPECT_GT(each.case1Bound, 5) << "of a Jacobian of 1";
    EXPECT_LT(each.case1, 0.3);
  }
}

// With the same root mean square before and after, the change is that of the outer products alone.
TEST(PaperBounds, RecomputedNormsAreMeasuredAsStoredOnesAre) {
  const std::vector<float> x = normalised(drawn(64, 5)), w = drawn(64, 6);
  std::vector<float> other = drawn(64, 7, 0.3F);
  for (std::size_t i = 0; i < 64; ++i) other[i] += x[i];
  other = normalised(other);
  EXPECT_NEAR(recomputedNormChange(x, other, w, 0), normJacobianChange(x, other, w), 0.01 * normJacobianChange(x, other, w));
  // Twice the input: half the Jacobian.
  std::vector<float> twice = x;
  for (float& each : twice) each *= 2;
  const std::vector<float> ones(64, 1.0F);
  EXPECT_NEAR(recomputedNormChange(x, twice, ones, 0), 0.5, 0.01);
}

// One value of a token is large and all others lie just below half a step: they become 0, which is all of the direction but one.
TEST(PaperBounds, ATokenWithAnOutlierExceedsCase2) {
  std::vector<float> token(128, 0.0705F);
  token[17] = 1;
  token = normalised(token);
  const qcclPackedFormat_t format = plan("int4").formatOf(0, 0);
  const std::vector<float> restored = roundTrip(token, format), ones(128, 1.0F);
  EXPECT_EQ(std::count(restored.begin(), restored.end(), 0.0F), 127);
  const double change = normJacobianChange(token, restored, ones);
  EXPECT_GT(change, 1.5 * 6 * relativeError(format)) << "beyond what the paper says to leading order";
  EXPECT_LE(change, normJacobianBound(errorLimits(token, format))) << "and within what holds";
}

TEST(PaperBounds, TheTableHasBothNormsOfALayer) {
  const std::string table = paperTable(measurePaperBounds(trainedModel().captured, trainedModel().model.parameters(), plan("int4")));
  for (const char* part : {"Case 1", "    2     1", "    2     2"}) EXPECT_THAT(table, HasSubstr(part));
}

}  // namespace
}  // namespace qccl::train
