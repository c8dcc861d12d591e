#include "activations/stage_plan.hpp"

#include <gmock/gmock.h>

#include "support/models.hpp"
#include "support/sentence.hpp"

namespace qccl::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::int64_t> inFlight(const PipelineShape& pipeline) {
  std::vector<std::int64_t> result;
  for (std::int64_t stage = 0; stage < pipeline.stages; ++stage) result.push_back(chunksInFlight(pipeline, stage));
  return result;
}

ActivationPlan plan(const std::string& text) { return parseActivationPlan(text, 128, "bfloat16"); }

TEST(StagePlan, ChunksInFlight) {
  EXPECT_THAT(inFlight({.stages = 4, .chunks = 2, .microBatches = 8}), ElementsAre(11, 9, 7, 5)) << "as the paper says";
  EXPECT_THAT(inFlight({.stages = 4, .chunks = 1, .microBatches = 8}), ElementsAre(4, 3, 2, 1));
  EXPECT_THAT(inFlight({.stages = 4, .chunks = 1, .microBatches = 2}), ElementsAre(2, 2, 2, 1));
}

// The paper's 4, 5, 6 and 8 bits need 44, 45, 42 and 40: the second stage more than the first.
TEST(StagePlan, NoStageNeedsMoreThanTheFirst) {
  for (const char* first : {"int4", "agoq", "mixed", "int5"}) {
    const auto stages = planStages(test::llama3Of8B(), {.stages = 4, .chunks = 2, .microBatches = 8, .rows = 8192}, plan(first));
    ASSERT_EQ(stages.size(), 4u);
    for (std::size_t s = 1; s < stages.size(); ++s) {
      EXPECT_LE(stages[s].peakBytes, stages[0].peakBytes) << first << ", stage " << s;
      EXPECT_GT(stages[s].peakBytes, stages[0].peakBytes * 95 / 100) << first << ", stage " << s << ": what there is is used";
      EXPECT_GT(stages[s].bitsAValue, stages[s - 1].bitsAValue) << first << ", stage " << s;
      for (const KindBits& layer : stages[s].byLayer) {
        for (std::size_t kind = 0; kind < kSavedKinds.size(); ++kind) EXPECT_GE(layer[kind], plan(first).bits[kind]);
      }
    }
  }
}

TEST(StagePlan, WhatIsKeptIn16BitsStaysThere) {
  for (const StagePlan& stage : planStages(test::llama3Of8B(), {.stages = 2, .chunks = 1, .microBatches = 4, .rows = 4096}, plan("agoq"))) {
    for (const KindBits& layer : stage.byLayer) EXPECT_EQ(layer[1], 16);
  }
}

TEST(StagePlan, LayersThatCannotBeSharedOutAreRefused) {
  EXPECT_THAT(
      test::sentenceOf([] { planStages(test::llama3Of8B(), {.stages = 5, .chunks = 1, .microBatches = 4, .rows = 1}, plan("int4")); }),
      HasSubstr("32 layers cannot be shared out evenly to 5 stages of 1 chunks"));
}

}  // namespace
}  // namespace qccl::train
