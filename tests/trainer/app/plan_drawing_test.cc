#include "app/plan_drawing.hpp"

#include <gmock/gmock.h>

#include "app/svg.hpp"
#include "support/models.hpp"

namespace qccl::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
  return found;
}

ActivationPlan plan(const std::string& text) { return parseActivationPlan(text, 128, "bfloat16"); }

TEST(PlanDrawing, HasABoxForEachTensorOfEachLayerInTheColourOfItsBits) {
  ActivationPlan solved = plan("exact");
  solved.name = "auto";
  solved.byLayer = {{4, 5, 6, 8, 16, 4, 4, 4}, {4, 4, 4, 4, 4, 4, 4, 32}};
  const std::string svg = drawPlan(solved, test::smallModel(), 64);
  EXPECT_EQ(count(svg, "<title>layers."), 2u * 8);
  EXPECT_EQ(count(svg, ">layers.0.k: 6, "), 1u);
  EXPECT_EQ(count(svg, ">layers.1.up: 32, "), 1u);
  EXPECT_EQ(count(svg, "fill=\"#dbeafe\" stroke"), 4u + 7 + 1) << "4 bits, and once in the legend";
  EXPECT_EQ(count(svg, "fill=\"#7fb2f5\" stroke"), 1u + 1) << "6 bits";
  EXPECT_EQ(count(svg, "<svg"), 1u);
  EXPECT_EQ(count(svg, "</svg>"), 1u);
  EXPECT_EQ(count(svg, "<text"), count(svg, "</text>"));
}

TEST(PlanDrawing, ShowsBytesOfKindsLayersAndAll) {
  const std::string svg = drawPlan(plan("mixed"), test::llama3Of8B(), 8192);
  EXPECT_THAT(svg,
              AllOf(HasSubstr(">7.18 GiB<"), HasSubstr(">230 MiB<"), HasSubstr("in bf16 23.0 GiB (0.312 of it)"), HasSubstr(">layer 31<")));
  EXPECT_THAT(svg, Not(HasSubstr("stage")));
}

TEST(PlanDrawing, FloatsAreToldFromIntegers) {
  const std::string svg = drawPlan(plan("gate=fp4,rest=4"), test::smallModel(), 64);
  EXPECT_EQ(count(svg, ": fp4, "), 2u);
  EXPECT_EQ(count(svg, ": 4, "), 14u);
}

TEST(PlanDrawing, AStageHasABoxForEachChunkInFlight) {
  const PipelineShape pipeline{.stages = 4, .chunks = 2, .microBatches = 8, .rows = 8192};
  const auto stages = planStages(test::llama3Of8B(), pipeline, plan("int4"));
  const std::string svg = drawPlan(plan("int4"), test::llama3Of8B(), 8192, stages);
  EXPECT_EQ(count(svg, "<title>stage 0: "), 11u);
  EXPECT_EQ(count(svg, "<title>stage 3: "), 5u);
  EXPECT_THAT(svg, AllOf(HasSubstr("(1.000)"), HasSubstr("5 x "), HasSubstr("8.96 bits a value")));
}

TEST(PlanDrawing, WordsCannotBreakOut) {
  EXPECT_EQ(escapeXml("a<b> & \"c\"\x01"), "a&lt;b&gt; &amp; &quot;c&quot; ");
  ActivationPlan named = plan("int4");
  named.name = "</text><script>";
  EXPECT_THAT(drawPlan(named, test::smallModel(), 64), Not(HasSubstr("<script>")));
}

TEST(PlanDrawing, BytesHaveThreeDigits) {
  EXPECT_EQ(bytesText(0), "0 B");
  EXPECT_EQ(bytesText(999), "999 B");
  EXPECT_EQ(bytesText(1000), "0.98 KiB");
  EXPECT_EQ(bytesText(7711227904.0), "7.18 GiB");
  EXPECT_EQ(bytesText(12.34 * 1024 * 1024), "12.3 MiB");
}

}  // namespace
}  // namespace qccl::train
