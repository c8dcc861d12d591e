// Plan auto: what it predicts is what comes about, and no plan of as few bytes that the suite knows of is better.
#include "activations/sensitivity.hpp"

#include <gmock/gmock.h>

#include <cmath>

#include "formula.hpp"
#include "model/cpu/cpu_ops.hpp"
#include "support/models.hpp"
#include "support/sentence.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

ActivationPlan plan(const std::string& text) { return parseActivationPlan(text, 128, "bfloat16"); }

class Sensitivities : public testing::Test {
 protected:
  double errorOf(const ActivationPlan& of) {
    (void)probe_.run(of);
    return std::sqrt(probe_.squaredError());
  }
  // Bytes of codes and scales, without the statistics.
  std::uint64_t bytesOf(const std::string& text) {
    const ActivationPlan given = plan(text);
    std::uint64_t bytes = 0;
    for (const Sensitivity& each : sensitivities()) {
      for (const qcclBitChoice_t& choice : each.choices) {
        if (choice.bits == given.bitsOf(each.layer, each.kind)) bytes += choice.bytes;
      }
    }
    return bytes;
  }
  const std::vector<Sensitivity>& sensitivities() {
    if (sensitivities_.empty()) sensitivities_ = measureSensitivities(probe_, probe_.rows(), plan("exact"));
    return sensitivities_;
  }

  static ModelConfig threeLayers() {
    ModelConfig config = test::smallModel();
    config.layers = 3;
    return config;
  }
  GradientProbe filledProbe() {
    Parameters weights(config_, *ops_);
    formula::fill(weights);
    return {weights, config_, *ops_, batch_};
  }

  ModelConfig config_ = threeLayers();
  std::unique_ptr<Ops> ops_ = makeCpuOps();
  formula::Batch data_ = formula::batch(config_.vocab, 4, 64);
  TokenBatch batch_{data_.tokens, data_.targets, data_.batch, data_.seqLen};
  GradientProbe probe_ = filledProbe();
  std::vector<Sensitivity> sensitivities_;
};

TEST_F(Sensitivities, AreMeasuredForEveryTensorAndFallWithBits) {
  EXPECT_EQ(sensitivities().size(), 3 * kSavedKinds.size());
  for (const Sensitivity& each : sensitivities()) {
    for (std::size_t i = 0; i + 1 < each.choices.size(); ++i) {
      EXPECT_GT(each.choices[i].error, each.choices[i + 1].error) << kSavedKinds[each.kind] << " of layer " << each.layer;
      EXPECT_LT(each.choices[i].bytes, each.choices[i + 1].bytes);
    }
  }
}

TEST_F(Sensitivities, ThePredictedErrorComesAbout) {
  for (const char* budget : {"int4", "mixed", "int6", "int8"}) {
    const SolvedPlan solved = solvePlan(sensitivities(), config_, bytesOf(budget) * 101 / 100, plan("exact"));
    const double predicted = std::sqrt(solved.predictedError);
    EXPECT_NEAR(errorOf(solved.plan), predicted, 0.35 * predicted) << budget;
  }
}

TEST_F(Sensitivities, NoOtherPlanOfAsManyBytesIsBetter) {
  for (const char* other : {"mixed", "agoq", "int5", "int6"}) {
    const SolvedPlan solved = solvePlan(sensitivities(), config_, bytesOf(other), plan("exact"));
    EXPECT_LE(solved.bytes, bytesOf(other));
    EXPECT_LT(errorOf(solved.plan), 1.05 * errorOf(plan(other))) << other;
  }
}

TEST_F(Sensitivities, BudgetsThatCannotBeMetAreRefusedWithWhatIsMissing) {
  EXPECT_THAT(test::sentenceOf([&] { solvePlan(sensitivities(), config_, 1000, plan("exact")); }),
              HasSubstr("saved activations: a budget of 1000 bytes is too small"));
  EXPECT_THAT(test::sentenceOf([&] { requireBudget(config_, 256, 1000, plan("exact")); }), HasSubstr("--act-budget 1000 is too small"));
  EXPECT_EQ(test::sentenceOf([&] { requireBudget(config_, 256, bytesOf("int4"), plan("exact")); }), "");
}

TEST_F(Sensitivities, TheTableShowsTheBitsOfEveryLayer) {
  const std::string table = planTable(solvePlan(sensitivities(), config_, bytesOf("mixed"), plan("exact")));
  for (const char* part : {"xhat1", "layer 2", "predicted relative error"}) EXPECT_THAT(table, HasSubstr(part));
}

}  // namespace
}  // namespace qccl::train
