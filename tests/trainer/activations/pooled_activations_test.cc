// The model with saved activations in a pool: forward is exact whatever the plan, and gradients are as exact as the plan is.
#include "activations/pooled_activations.hpp"

#include <gmock/gmock.h>

#include <bit>
#include <map>

#include "activations/gradient_comparison.hpp"
#include "formula.hpp"
#include "model/cpu/cpu_ops.hpp"
#include "model/error.hpp"
#include "support/models.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

ActivationPlan plan(const std::string& text) { return parseActivationPlan(text, 128, "bfloat16"); }

// Rows of 64 tokens, so that a layer's tensors are many blocks and a shorter one.
struct Setting {
  ModelConfig config = test::smallModel();
  std::unique_ptr<Ops> ops = makeCpuOps();
  formula::Batch data = formula::batch(config.vocab, 3, 64);

  TokenBatch batch() const { return {data.tokens, data.targets, data.batch, data.seqLen}; }
  std::vector<PlanComparison> compare(const std::vector<std::string>& texts) {
    Parameters weights(config, *ops);
    formula::fill(weights);
    std::vector<ActivationPlan> plans;
    for (const std::string& text : texts) plans.push_back(plan(text));
    const TokenBatch tokens = batch();
    GradientProbe probe(weights, config, *ops, tokens);
    return comparePlans(probe, plans);
  }
};

double errorOf(const PlanComparison& comparison, const std::string& kind = "all") {
  for (const GradientError& error : comparison.errors) {
    if (error.kind == kind) return error.relative;
  }
  ADD_FAILURE() << kind;
  return 0;
}

TEST(PooledActivations, ForwardIsExactAndGradientsAreAsExactAsThePlan) {
  const auto all = Setting().compare({"rest=32", "bf16", "int8", "int6", "int5", "int4"});
  for (const PlanComparison& each : all) EXPECT_TRUE(each.sameLoss) << each.plan.name;
  EXPECT_EQ(errorOf(all[0]), 0) << "all bits were kept";
  EXPECT_GT(errorOf(all[1]), 0);
  for (std::size_t i = 1; i + 1 < all.size(); ++i) {
    EXPECT_LT(errorOf(all[i]), errorOf(all[i + 1])) << all[i].plan.name;
    EXPECT_GT(all[i].savedBytes, all[i + 1].savedBytes) << all[i].plan.name;
  }
  EXPECT_LT(errorOf(all[1]), 0.01);
  EXPECT_LT(errorOf(all[2]), 0.03);
  EXPECT_LT(errorOf(all.back()), 0.5);
}

TEST(PooledActivations, FloatsTakeTheBytesOfIntegers) {
  const auto all = Setting().compare({"fp8", "fp4", "int8", "int4"});
  for (const PlanComparison& each : all) EXPECT_TRUE(each.sameLoss) << each.plan.name;
  EXPECT_LT(errorOf(all[0]), errorOf(all[1]));
  EXPECT_EQ(all[0].savedBytes, all[2].savedBytes);
  EXPECT_EQ(all[1].savedBytes, all[3].savedBytes);
  EXPECT_NE(errorOf(all[1]), errorOf(all[3])) << "other codes";
}

// A tensor that loses bits changes what is computed from it, and from there on downwards, and nothing else.
TEST(PooledActivations, ErrorsAreWhereTheBitsAreMissing) {
  const auto all = Setting().compare({"gate=4,rest=32", "xhat1=4,rest=32"});
  EXPECT_EQ(errorOf(all[0], "model.norm.weight"), 0);
  EXPECT_GT(errorOf(all[0], "mlp.down_proj.weight"), 0);
  EXPECT_GT(errorOf(all[0], "self_attn.q_proj.weight"), 0);
  EXPECT_EQ(errorOf(all[1], "model.norm.weight"), 0);
  EXPECT_GT(errorOf(all[1], "self_attn.q_proj.weight"), 0);
}

// With statistics that are those of other q and k, rows of the attention matrix do not add up to 1.
TEST(PooledActivations, StatisticsComputedAgainAreWorthIt) {
  const auto all = Setting().compare({"q=4,k=4,rest=32", "q=4,k=4,lse=32,rest=32"});
  EXPECT_LT(errorOf(all[0]), errorOf(all[1]));
}

TEST(PooledActivations, ThePoolHoldsWhatThePlanSays) {
  Setting setting;
  const auto all = setting.compare({"mixed"});
  const ModelConfig& c = setting.config;
  const std::size_t rows = 3 * 64;
  const auto packed = [&](std::int64_t width, int codec) {
    const qcclPackedFormat_t format{codec, qcclScaleBfloat16, 128};
    std::size_t bytes = 0;
    EXPECT_EQ(qcclPackedBytes(rows * static_cast<std::size_t>(width), &format, &bytes), qcclSuccess);
    return bytes;
  };
  const std::size_t layer = 2 * packed(c.hidden, qcclCodecInt4) + 2 * packed(c.queryWidth(), qcclCodecInt8) +
                            2 * packed(c.kvWidth(), qcclCodecInt8) + 2 * packed(c.ffn, qcclCodecInt4) + 2 * rows * sizeof(float);
  EXPECT_GE(all[0].savedBytes, 2 * layer);
  EXPECT_LE(all[0].savedBytes, 2 * (layer + 18 * 256)) << "and what it costs to align 10 tensors, 8 with scales";
}

struct Step {
  float loss;
  std::vector<float> gradients;
  bool operator==(const Step&) const = default;
};

Step stepOf(Llama& model, const formula::Batch& b) {
  model.parameters().zeroGradients();
  const float loss = model.forward(b.tokens, b.targets, b.batch, b.seqLen);
  model.backward(1.0F);
  const auto gradients = model.parameters().gradients();
  return {loss, {gradients.begin(), gradients.end()}};
}

// Batches of other shapes, forward without backward (an evaluation) and logits in between.
TEST(PooledActivations, OneStepLeavesNothingToTheNext) {
  Setting setting;
  const formula::Batch small = formula::batch(setting.config.vocab, 1, 17), large = formula::batch(setting.config.vocab, 5, 64);
  PooledActivations keeper(plan("mixed"));
  LlamaOptions options;
  options.keeper = &keeper;
  Llama model(setting.config, *setting.ops, options);
  formula::fill(model.parameters());
  const Step first = stepOf(model, setting.data);
  const Step ofSmall = stepOf(model, small);
  const Step ofLarge = stepOf(model, large);
  (void)model.forward(small.tokens, small.targets, small.batch, small.seqLen);
  (void)model.forward(large.tokens, large.targets, large.batch, large.seqLen);
  std::vector<float> logits(small.tokens.size() * static_cast<std::size_t>(setting.config.vocab));
  model.logits(small.tokens, small.batch, small.seqLen, logits);
  EXPECT_EQ(stepOf(model, setting.data), first);
  EXPECT_EQ(stepOf(model, small), ofSmall);
  EXPECT_EQ(stepOf(model, large), ofLarge);
}

TEST(PooledActivations, LayersShareTheirMemoryInFp32) {
  Setting setting;
  setting.config.layers = 12;
  PooledActivations keeper(plan("mixed"));
  LlamaOptions options;
  options.keeper = &keeper;
  Llama kept(setting.config, *setting.ops, options), plain(setting.config, *setting.ops);
  for (Llama* model : {&kept, &plain}) (void)stepOf(*model, setting.data);
  EXPECT_LT(kept.activationBytes(), plain.activationBytes() / 2);
  const std::string report = PooledActivations::report(setting.config, 192, plan("mixed"));
  for (const char* part : {"gate", "int4/128/bfloat16", "int8/128/bfloat16", "rstd1"}) EXPECT_THAT(report, HasSubstr(part));
}

TEST(PooledActivations, TheTableNamesPlansAndParameters) {
  const std::string table = comparisonTable(Setting().compare({"bf16", "int4"}));
  for (const char* part : {"bf16", "int4", "same bits", "self_attn.q_proj.weight", "all"}) EXPECT_THAT(table, HasSubstr(part));
}

}  // namespace
}  // namespace qccl::train
