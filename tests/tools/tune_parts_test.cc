// From times to rows, and rows into a file: what qccl-perf --tune decides, without measuring.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/api.hpp"
#include "perf/tune_choice.hpp"
#include "perf/tune_file.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::bench {
namespace {

using test::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

Way exactWay(const std::string& algorithm, const std::vector<double>& times) { return {algorithm, true, 0, times}; }
Way quantizedWay(const std::string& algorithm, double error, const std::vector<double>& times) { return {algorithm, false, error, times}; }

TEST(SteadyChoice, IsTheFastest) {
  EXPECT_THAT(steadyChoice({exactWay("a", {10, 20, 90}), exactWay("b", {30, 10, 50})}), ElementsAre(0, 1, 1));
  EXPECT_THAT(steadyChoice({exactWay("a", {10})}), ElementsAre(0));
}

TEST(SteadyChoice, ChangesOnlyForMoreThanTwoPerCent) {
  EXPECT_THAT(steadyChoice({exactWay("a", {100, 100, 100, 100}), exactWay("b", {120, 98.5, 97.5, 101})}), ElementsAre(0, 0, 1, 1));
}

TEST(SteadyChoice, PrefersFewerQuantizationsWhereTimesAreTheSame) {
  const auto chosen = [](double one, double two) {
    return steadyChoice({quantizedWay("two", 0.008, {two}), quantizedWay("one", 0.004, {one})}).front();
  };
  EXPECT_EQ(chosen(101, 100), 1u);
  EXPECT_EQ(chosen(103, 100), 0u);
  EXPECT_EQ(chosen(100, 101), 1u);
  // Also where the size before took the other.
  EXPECT_THAT(steadyChoice({quantizedWay("two", 0.008, {50, 100, 100}), quantizedWay("one", 0.004, {90, 101, 105})}), ElementsAre(0, 1, 0));
}

TEST(TunedRows, OfCallsThatAskForNoCodec) {
  const std::vector<TunedRow> rows = tunedRows({1, 2}, {exactWay("a", {1, 9}), exactWay("b", {2, 1})}, {});
  EXPECT_EQ(rows[0].algorithm, "a");
  EXPECT_EQ(rows[1].algorithm, "b");
  for (const TunedRow& row : rows) {
    EXPECT_TRUE(row.exact);
    EXPECT_FALSE(row.requested.has_value());
  }
}

TEST(TunedRows, SayTheCodecsFastestAlgorithmWhereTheExactPathIsFaster) {
  const std::vector<TunedRow> rows = tunedRows({1, 2, 4}, {exactWay("nccl", {10, 20, 100}), exactWay("ring", {11, 15, 200})},
                                               {quantizedWay("oneshot", 1, {20, 15.2, 40}), quantizedWay("twoshot", 2, {30, 30, 30})});
  EXPECT_TRUE(rows[0].exact);
  EXPECT_EQ(rows[0].algorithm, "nccl");
  EXPECT_EQ(rows[0].requested, "oneshot");
  EXPECT_TRUE(rows[1].exact) << "as fast, and exact";
  EXPECT_EQ(rows[1].algorithm, "ring");
  EXPECT_FALSE(rows[2].exact);
  EXPECT_EQ(rows[2].algorithm, "twoshot");
  EXPECT_FALSE(rows[2].requested.has_value());
}

TEST(TunedRows, NeighboursWithTheSameChoiceAreOneRow) {
  const TunedRow a{1, true, "nccl", "oneshot"}, b{2, true, "nccl", "oneshot"}, c{4, true, "nccl", "twoshot"}, d{8, false, "twoshot", {}},
      e{16, false, "twoshot", {}};
  const std::vector<TunedRow> rows = merged({a, b, c, d, e});
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].upToBytes, 2u);
  EXPECT_EQ(rows[1].upToBytes, 4u);
  EXPECT_EQ(rows[2].upToBytes, 16u);
  EXPECT_TRUE(merged({}).empty());
}

TEST(TuneFile, LinesAreThoseOfATable) {
  const qcclTuningKey_t oneHost{"oneHost", 4, 4};
  const qcclTuningKey_t hosts{"severalHosts", 4, 2};
  EXPECT_EQ(tuneKey(qcclCollAllReduce, "host", oneHost, qcclFloat32, qcclCodecInt8), "allreduce host oneHost 4 any float32 int8");
  const std::string key = tuneKey(qcclCollReduceScatter, "host", hosts, qcclBfloat16, qcclCodecNone);
  EXPECT_EQ(key, "reducescatter host severalHosts 4 2 bfloat16 none");
  EXPECT_THAT(tuneLines(key, {{64, true, "ring", {}}, {128, true, "direct", {}}}),
              ElementsAre(key + " 64 none ring -", key + " max none direct -"));
  EXPECT_THAT(tuneLines("k", {{64, true, "nccl", "tree"}, {128, false, "ring", {}}}),
              ElementsAre("k 64 none nccl tree", "k max asked ring -"));
}

TEST(TuneFile, RowsOfOtherCallsAndCommentsStay) {
  const std::string old =
      "# mine\n"
      "qccl-tuning 1   # version\n"
      "# rows\n"
      "allreduce host oneHost 2 any float32 int8 64 asked ring -\n"
      "allreduce   host oneHost 4 any float32 int8 max asked tree -   # hand made\n"
      "allreduce  host oneHost 2 any float32 int8 max asked twoshot -\n"
      "allreduce host oneHost 2 any float32 none max none twoshot -\n";
  EXPECT_EQ(withLines(old, {"allreduce host oneHost 2 any float32 int8 max asked oneshot -"}),
            "# mine\n"
            "qccl-tuning 1   # version\n"
            "# rows\n"
            "allreduce host oneHost 2 any float32 int8 max asked oneshot -\n"
            "allreduce   host oneHost 4 any float32 int8 max asked tree -   # hand made\n"
            "allreduce host oneHost 2 any float32 none max none twoshot -\n");
}

TEST(TuneFile, IsWrittenWholeOrNotAtAll) {
  const TemporaryFolder folder;
  const std::string path = folder.path("table");
  const std::string line = "allreduce host oneHost 2 any float32 int8 max asked oneshot -";
  requireTuneFile(path);
  EXPECT_THAT(folder.contents(), ElementsAre()) << "asking leaves nothing behind";
  updateTuneFile(path, {line});
  const std::string first = test::readFile(path);
  EXPECT_THAT(first, testing::StartsWith("qccl-tuning 1\n"));
  EXPECT_THAT(first, testing::EndsWith(line + "\n"));
  requireTuneFile(path);
  updateTuneFile(path, {line});
  EXPECT_EQ(test::readFile(path), first);
  EXPECT_THROW(updateTuneFile(path, {"allreduce host oneHost 2 any float32 int8 max asked star -"}), ToolError);
  EXPECT_EQ(test::readFile(path), first);
  EXPECT_EQ(folder.contents().size(), 1u);
}

TEST(TuneFile, WhatIsNoTableIsNotOverwritten) {
  const TemporaryFolder folder;
  const std::string path = folder.write("notes.txt", "buy milk\n");
  try {
    requireTuneFile(path);
    ADD_FAILURE() << "taken for a tuning table";
  } catch (const ToolError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path + ":1: not a tuning table"));
  }
  EXPECT_THROW(requireTuneFile(folder.path("no/such/folder")), ToolError);
}

}  // namespace
}  // namespace qccl::bench
