#include "activations/activation_plan.hpp"

#include <gmock/gmock.h>

#include "support/sentence.hpp"

namespace qccl::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ActivationPlan plan(const std::string& text) { return parseActivationPlan(text, 128, "bfloat16"); }

TEST(ActivationPlan, NamesStandForBitsOfEveryKind) {
  EXPECT_THAT(plan("agoq").bits, ElementsAre(4, 16, 16, 16, 16, 4, 4, 4));
  EXPECT_THAT(plan("mixed").bits, ElementsAre(4, 8, 8, 8, 8, 4, 4, 4));
  EXPECT_THAT(plan("int5").bits, ElementsAre(5, 5, 5, 5, 5, 5, 5, 5));
  EXPECT_TRUE(plan("exact").isExact());
  EXPECT_FALSE(plan("bf16").isExact());
}

TEST(ActivationPlan, KindsHaveBitsOfTheirOwn) {
  EXPECT_THAT(plan("q=8,gate=4").bits, ElementsAre(16, 8, 16, 16, 16, 16, 4, 16));
  EXPECT_THAT(plan("v=6,attention=8,rest=4").bits, ElementsAre(4, 8, 8, 6, 8, 4, 4, 4)) << "in any order";
  EXPECT_THAT(plan("attention=8,v=6,rest=4").bits, ElementsAre(4, 8, 8, 6, 8, 4, 4, 4));
  EXPECT_TRUE(plan("rest=32").isExact());
}

TEST(ActivationPlan, StatisticsAreComputedAgainWhereQOrKLoseBits) {
  EXPECT_FALSE(plan("agoq").recomputesStatistics);
  EXPECT_TRUE(plan("mixed").recomputesStatistics);
  EXPECT_TRUE(plan("k=8").recomputesStatistics);
  EXPECT_FALSE(plan("v=4,o=4").recomputesStatistics);
  EXPECT_FALSE(plan("attention=8,lse=32").recomputesStatistics);
}

TEST(ActivationPlan, FormatsHaveTheBlocksAndScalesAskedFor) {
  const ActivationPlan given = parseActivationPlan("mixed", 64, "e8m0");
  EXPECT_EQ(given.formatOf(0, 0).codec, qcclCodecInt4);
  EXPECT_EQ(given.formatOf(0, 1).codec, qcclCodecInt8);
  EXPECT_EQ(given.formatOf(0, 1).blockElems, 64);
  EXPECT_EQ(given.formatOf(0, 1).scale, qcclScaleE8m0);
}

TEST(ActivationPlan, FourAndEightBitsMayBeFloats) {
  const ActivationPlan mixed = plan("gate=fp4,attention=fp8,v=8,rest=4");
  EXPECT_THAT(mixed.bits, ElementsAre(4, 8, 8, 8, 8, 4, 4, 4));
  const auto codec = [&](std::size_t kind) { return mixed.formatOf(0, kind).codec; };
  EXPECT_THAT((std::array{codec(0), codec(1), codec(3), codec(6), codec(7)}),
              ElementsAre(qcclCodecInt4, qcclCodecFp8E4m3, qcclCodecInt8, qcclCodecFp4E2m1, qcclCodecInt4));
  EXPECT_EQ(plan("fp4").formatOf(0, 0).codec, qcclCodecFp4E2m1);
  EXPECT_EQ(plan("fp8").formatOf(0, 7).codec, qcclCodecFp8E4m3);
  EXPECT_TRUE(plan("fp8").recomputesStatistics);
}

TEST(ActivationPlan, MistakesAreNamed) {
  EXPECT_THAT(test::sentenceOf([] { plan("int7"); }), HasSubstr("'int7' is no plan for --activations; give exact, bf16, agoq"));
  EXPECT_THAT(test::sentenceOf([] { plan(""); }), HasSubstr("--activations is empty"));
  EXPECT_THAT(test::sentenceOf([] { plan("q=8,q=4"); }), HasSubstr("'q=8,q=4' in --activations names q twice"));
  EXPECT_THAT(test::sentenceOf([] { plan("norm=4"); }), HasSubstr("'norm' in --activations is no kind of saved tensor"));
  EXPECT_THAT(test::sentenceOf([] { plan("q=7"); }),
              HasSubstr("'q=7' in --activations: saved tensors are kept in 4, 5, 6, 8, 16 or 32 bits, fp4 or fp8"));
  EXPECT_THAT(test::sentenceOf([] { plan("q=fp6"); }), HasSubstr("fp4 or fp8"));
  EXPECT_THAT(test::sentenceOf([] { plan("lse=8"); }), HasSubstr("lse is kept in 32 bits, or computed again"));
  EXPECT_THAT(test::sentenceOf([] { parseActivationPlan("mixed", 100, "bfloat16"); }), HasSubstr("--act-block 100 is not a power of two"));
  EXPECT_THAT(test::sentenceOf([] { parseActivationPlan("mixed", 128, "fp8"); }), HasSubstr("--act-scale fp8 is not one of float32"));
}

}  // namespace
}  // namespace qccl::train
