// The plan: its exact size, its places, what it says of itself, and what is said when it does not fit.
#include "memory/pool_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "memory/llama_ledger.hpp"
#include "support/sentence.hpp"

namespace qccl::memory {
namespace {

using test::sentenceOf;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr LlamaShape kLlama3_8b = {32, 0, 4096, 14336, 32, 8, 128};

Ledger llama4Bits() {
  const TensorFormat int4 = formatOfBits(4, 128, qcclScaleBfloat16);
  return llamaLedger(kLlama3_8b, 1, 8192, {int4, int4});
}

TEST(PoolPlan, OfLlama3_8bIsExact) {
  // 24,424 bytes a token and layer; 8192 tokens make every tensor a multiple of 256 bytes, so that alignment costs nothing.
  const PoolPlan one(llama4Bits(), {1, 0});
  EXPECT_EQ(one.totalBytes(), std::size_t{24424} * 32 * 8192);
  EXPECT_EQ(one.paddingBytes(), 0u);
  // Scratch: gate or up in bf16, twice.
  const PoolPlan four(llama4Bits(), {4, std::size_t{14336} * 8192 * 2});
  EXPECT_EQ(four.totalBytes(), std::size_t{4} * 6402605056 + std::size_t{2} * 234881024);
  EXPECT_EQ(four.slotCodeBytes() + four.slotScaleBytes(), 6402605056u);
  EXPECT_EQ(four.slotScaleBytes(), std::size_t{47104} * 8192 * 32 / 128 * 2);
}

TEST(PoolPlan, PlacesFollowOneAnotherInTheOrderOfSaving) {
  Ledger ledger;
  ledger.add({"a", 300, formatOfBits(8)});  // 304 bytes of codes in 512, 16 of scales in 256
  ledger.add({"b", 64, {}});                // 256 bytes, no scales
  ledger.add({"c", 1, formatOfBits(4)});    // 16 bytes in 256, 16 in 256
  const PoolPlan plan(ledger, {2, 1000});
  EXPECT_EQ(plan.slotCodeBytes(), 1024u);
  EXPECT_EQ(plan.slotScaleBytes(), 512u);
  EXPECT_EQ(plan.codesAt(0, 1), 512u);
  EXPECT_EQ(plan.codesAt(0, 2), 768u);
  EXPECT_EQ(plan.codesAt(1, 0), 1024u);
  EXPECT_EQ(plan.scalesAt(0, 0), 2048u);
  EXPECT_EQ(plan.scalesAt(0, 2), 2048u + 256);
  EXPECT_EQ(plan.scalesAt(1, 0), 2048u + 512);
  EXPECT_EQ(plan.scratchAt(0), 3072u);
  EXPECT_EQ(plan.scratchAt(1), 4096u);
  EXPECT_EQ(plan.totalBytes(), 5120u);
  EXPECT_EQ(plan.paddingBytes(), 5120u - 2 * (304 + 16 + 256 + 16 + 16) - 2 * 1000);
}

TEST(PoolPlan, RefusesWhatIsNoPlan) {
  EXPECT_THAT(sentenceOf([] { PoolPlan(Ledger(), {}); }), HasSubstr("at least one tensor"));
  EXPECT_THAT(sentenceOf([] { PoolPlan(llama4Bits(), {0, 0}); }), HasSubstr("at least one micro-batch"));
  EXPECT_THAT(sentenceOf([] { PoolPlan(llama4Bits(), {SIZE_MAX / 2, 0}); }), HasSubstr("larger than any memory"));
  EXPECT_THAT(sentenceOf([] { PoolPlan(llama4Bits(), {1, SIZE_MAX - 1}); }), HasSubstr("larger than any memory"));
}

TEST(PoolPlan, PrintsItsAreas) {
  const PoolPlan plan(llama4Bits(), {4, std::size_t{14336} * 8192 * 2});
  EXPECT_THAT(plan.table(), AllOf(testing::ContainsRegex("codes of a micro-batch +4 +6,209,667,072 +24,838,668,288"),
                                  testing::ContainsRegex("scales of a micro-batch +4 +192,937,984 +771,751,936"),
                                  testing::ContainsRegex("dequantize scratch +2 +234,881,024 +469,762,048"),
                                  HasSubstr("planned: 26,080,182,272 bytes (24.29 GiB)")));
  const nlohmann::json json = nlohmann::json::parse(plan.json());
  EXPECT_EQ(json.at("totalBytes"), 26080182272);
  EXPECT_EQ(json.at("tensors").size(), 352u);
  EXPECT_EQ(json.at("tensors")[1].at("codesAt"), 4096 / 2 * 8192);
}

std::string refusal(const PoolPlan& plan, std::size_t limitBytes) {
  return sentenceOf([&] { requireFits("pool acts", plan, limitBytes, "the limit"); });
}

TEST(PlanRefusal, NothingIsSaidWhenItFits) {
  const PoolPlan plan(llama4Bits(), {4, 0});
  EXPECT_EQ(refusal(plan, plan.totalBytes()), "");
}

TEST(PlanRefusal, NamesShortfallAndTheCheapestChange) {
  const PoolPlan plan(llamaLedger(kLlama3_8b, 1, 8192, {formatOfBits(8, 128, qcclScaleBfloat16), formatOfBits(4, 128, qcclScaleBfloat16)}),
                      {4, 0});
  // One byte too little. k is the smallest kind with more than 4 bits: 1024 * 8192 elements in 32 layers and 4 micro-batches, 2 bits less.
  const std::string little = refusal(plan, plan.totalBytes() - 1);
  EXPECT_THAT(little, AllOf(testing::StartsWith("pool acts: the plan needs 30,979,129,344 bytes"),
                            HasSubstr("which is 1 bytes more than the limit"),
                            HasSubstr("Cheapest change that fits: bits of k 8 -> 6 (32 tensors), saves 268,435,456 bytes"),
                            HasSubstr("or micro-batches in flight 4 -> 3, saves 7,744,782,336 bytes")));
  // The example of docs/memory.md.
  EXPECT_EQ(sentenceOf([&] { requireFits("pool acts", plan, 30000000000, "its limit of 30,000,000,000"); }),
            "pool acts: the plan needs 30,979,129,344 bytes (28.85 GiB), which is 979,129,344 bytes more than its limit of 30,000,000,000. "
            "Cheapest change that fits: bits of q 8 -> 6 (32 tensors), saves 1,073,741,824 bytes; or micro-batches in flight 4 -> 3, saves "
            "7,744,782,336 bytes");
  // More than any one kind can give, less than a micro-batch: 2 * 4 bits of q or o are 2 GiB.
  EXPECT_THAT(refusal(plan, plan.totalBytes() - (std::size_t{5} << 30)),
              AllOf(HasSubstr("Cheapest change that fits: micro-batches in flight 4 -> 3"), Not(HasSubstr("bits of"))));
  EXPECT_THAT(refusal(plan, plan.totalBytes() - (std::size_t{10} << 30)), HasSubstr("micro-batches in flight 4 -> 2"));
}

TEST(PlanRefusal, CombinesChangesWhereOneIsNotEnough) {
  const PoolPlan plan(llamaLedger(kLlama3_8b, 1, 8192, {}), {2, 0});  // all in bf16: 2 * 94,344 bytes a token and layer
  const std::size_t perByte = std::size_t{32} * 8192;
  EXPECT_THAT(refusal(plan, 94344 * perByte - 1), HasSubstr("No single change fits; at most 6 bits for every quantized tensor would"));
  EXPECT_THAT(refusal(plan, 30000 * perByte),
              HasSubstr("4 bits for every quantized tensor together with micro-batches in flight 2 -> 1 would"));
  const std::string hopeless = refusal(plan, 1000);
  EXPECT_THAT(hopeless, AllOf(HasSubstr("No change of bits or micro-batches in flight fits"), HasSubstr("smaller batch")));
  EXPECT_THAT(hopeless, HasSubstr("6,402,605,056"));  // 4 bits with blocks of 256 and FP32 scales are 4.125 bits, too
}

TEST(PlanRefusal, NeverTouchesExactTensors) {
  Ledger ledger;
  ledger.add({"rstd", 1000000, {}});
  EXPECT_THAT(refusal(PoolPlan(ledger, {1, 0}), 100), AllOf(HasSubstr("No change"), Not(HasSubstr("rstd"))));
}

}  // namespace
}  // namespace qccl::memory
