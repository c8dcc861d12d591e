#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/progress.hpp"
#include "app/train_options.hpp"
#include "model/error.hpp"
#include "support/sentence.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

TEST(TrainOptions, StepsFollowFromTokens) {
  TrainOptions options;
  options.batch = 4;
  options.seq = 100;
  options.gradAccum = 2;
  options.tokens = 10000;
  EXPECT_EQ(totalSteps(options, 1), 13);  // 800 a step
  EXPECT_EQ(totalSteps(options, 2), 7);
  options.steps = 5;
  EXPECT_EQ(totalSteps(options, 2), 5);
}

TEST(TrainOptions, TheShapeFollowsFromTheFlags) {
  TrainOptions options;
  options.hidden = 96;
  options.heads = 6;
  const ModelConfig config = modelFromFlags(options, 500);
  EXPECT_EQ(config.headDim, 16);
  EXPECT_EQ(config.kvHeads, 6);
  EXPECT_EQ(config.ffn, 256);
  EXPECT_TRUE(config.tied);
  config.validate();
  options.heads = 5;
  EXPECT_THAT(test::sentenceOf([&] { modelFromFlags(options, 500); }), HasSubstr("--hidden 96 is not a multiple of --heads 5"));
}

TEST(TrainOptions, ContradictionsAreSentences) {
  TrainOptions options;
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("--steps or --tokens"));
  options.steps = 1;
  EXPECT_EQ(test::sentenceOf([&] { checkTrainOptions(options); }), "");
  options.block = 100;
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("--block 100"));
  options.block = 256;
  options.minLr = 1;
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("--min-lr 1 is above"));
  options.minLr = 0;
  options.comm = "none";
  options.ranks = 2;
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("--comm none is for one rank"));
  options.comm = "exact";
  options.saveGradients = "10,2x";
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("--save-gradients 10,2x: \"2x\" is not a step"));
  options.saveGradients = "10,2";
  EXPECT_EQ(test::sentenceOf([&] { checkTrainOptions(options); }), "");
  options.gradStore = "int8";
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("--save-gradients writes gradients in FP32"));
  options.saveGradients = "";
  EXPECT_EQ(test::sentenceOf([&] { checkTrainOptions(options); }), "");
  options.comm = "int4-ring";
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }),
              HasSubstr("--grad-store int8 and --comm int4-ring do not fit together"));
  options.comm = "int8-ring";
  EXPECT_EQ(test::sentenceOf([&] { checkTrainOptions(options); }), "");
  options.errorFeedback = true;
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("--error-feedback is for gradients that lie in FP32"));
  options.gradStore = "fp32";
  EXPECT_EQ(test::sentenceOf([&] { checkTrainOptions(options); }), "");
  options.comm = "exact";
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("--error-feedback"));
  options.errorFeedback = false;
  options.gradStore = "int7";
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("'int7' is no format to keep gradients in"));
  options.gradStore = "bf16";
  options.commScale = "fp8";
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }),
              HasSubstr("--comm-scale fp8 is not known; give float32, bfloat16 or e8m0"));
  options.commScale = "e8m0";
  options.gradRounding = "up";
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }),
              HasSubstr("--grad-rounding up is not known; give nearest or stochastic"));
}

TEST(TrainOptions, PlansForActivationsAreChecked) {
  train::TrainOptions options;
  options.steps = 1;
  for (const char* plan : {"exact", "bf16", "mixed", "q=8,rest=4"}) {
    options.activations = plan;
    EXPECT_EQ(test::sentenceOf([&] { checkTrainOptions(options); }), "") << plan;
  }
  options.actBudgetBytes = 1000;
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("--act-budget is for --activations auto, not q=8,rest=4"));
  options.activations = "auto";
  EXPECT_EQ(test::sentenceOf([&] { checkTrainOptions(options); }), "");
  options.actBudgetBytes = 0;
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("--activations auto needs --act-budget"));
  options.actBudgetBytes = 1000;
  options.actBefore = "mixed";
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("--act-before mixed has no steps: give --act-measure-at"));
  options.actMeasureAt = 10;
  EXPECT_EQ(test::sentenceOf([&] { checkTrainOptions(options); }), "");
  EXPECT_EQ(activationPlanOf(options).bits, parseActivationPlan("mixed", 128, "bfloat16").bits);
  options.actBefore = "auto";
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }),
              HasSubstr("--act-before auto, the plan before that of --activations auto: 'auto' is no plan"));
  options.actBudgetBytes = 0;
  options.activations = "mixed";
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }),
              HasSubstr("--act-measure-at and --act-before are for --activations auto"));
  options.activations = "int3";
  EXPECT_THAT(test::sentenceOf([&] { checkTrainOptions(options); }), HasSubstr("'int3' is no plan for --activations"));
}

TEST(TrainOptions, GradientsTravelAsTheyAreKept) {
  TrainOptions options;
  EXPECT_EQ(commModeOf(options, 1).name, "none");
  EXPECT_EQ(commModeOf(options, 2).name, "exact");
  options.gradStore = "int6";
  EXPECT_EQ(commModeOf(options, 1).name, "none");
  EXPECT_EQ(commModeOf(options, 2).name, "int6");
  EXPECT_NE(storeOptionsOf(options, 0).seed, storeOptionsOf(options, 1).seed);
  options.comm = "exact-ring";
  EXPECT_EQ(commModeOf(options, 2).name, "exact-ring");
}

TEST(Progress, NumbersAreShort) {
  EXPECT_EQ(formatCount(850), "850");
  EXPECT_EQ(formatCount(12345), "12.3k");
  EXPECT_EQ(formatCount(3740000), "3.74M");
  EXPECT_EQ(formatSeconds(42.4), "42s");
  EXPECT_EQ(formatSeconds(187), "3m07s");
  EXPECT_EQ(formatSeconds(7500), "2h05m");
}

TEST(Progress, TheLineSaysWhatTravelled) {
  const StepFigures figures{7, 100, 3.25, 1.5, 1e-3, 0.25, 4096, 2.5e6, 0.125, 61};
  EXPECT_EQ(progressLine(figures, true),
            "step   7/100 | loss 3.2500 | norm 1.500 | lr 1.00e-03 | 250 ms | 4.1k tok/s | wire 2.500 MB | wait 12.5 % | eta 1m01s");
  EXPECT_THAT(progressLine(figures, false), testing::Not(HasSubstr("wire")));
}

}  // namespace
}  // namespace qccl::train
