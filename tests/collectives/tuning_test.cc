// The tuning table: its text, what a call finds in it, and what is built in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "collectives/tuning_table.hpp"
#include "core/error.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::collectives {
namespace {

using testing::HasSubstr;

std::vector<TuningRow> parsed(const std::string& rows) { return parseTuning("my.tuning", "qccl-tuning 1\n" + rows, false); }

std::string refusalOf(const std::string& text) {
  try {
    parseTuning("my.tuning", text, false);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), qcclInvalidArgument);
    return error.what();
  }
  return "";
}

bool any(const TuningRow&) { return true; }

TEST(TuningText, EveryColumnIsRead) {
  const std::vector<TuningRow> rows = parsed(
      "# a comment\n"
      "\n"
      "allreduce host oneHost 4 any float32 int8 65536 none twoshot oneshot  # behind a row\n"
      "\treducescatter   cuda nccl 2-8 2-max any quantized max asked direct -\n"
      "allreduce cuda peer 9-max 0 bfloat16 none 1099511627776 none nccl -\n"
      "allreduce host any any any any quantized 0 asked hier -\n");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].key.coll, qcclCollAllReduce);
  EXPECT_FALSE(rows[0].key.onDevice);
  EXPECT_EQ(rows[0].key.path, RankPath::oneHost);
  EXPECT_EQ(rows[0].key.ranks, (TuningKey::Range{4, 4}));
  EXPECT_EQ(rows[0].key.ranksPerHost, TuningKey::Range{});
  EXPECT_EQ(rows[0].key.dtype, qcclFloat32);
  EXPECT_EQ(rows[0].key.codec, qcclCodecInt8);
  EXPECT_EQ(rows[0].upToBytes, 65536u);
  EXPECT_TRUE(rows[0].exact);
  EXPECT_EQ(rows[0].algorithm, qcclAlgoTwoshot);
  EXPECT_EQ(rows[0].keptAlgorithm, qcclAlgoOneshot);
  EXPECT_EQ(rows[1].key.coll, qcclCollReduceScatter);
  EXPECT_TRUE(rows[1].key.onDevice);
  EXPECT_EQ(rows[1].key.path, RankPath::nccl);
  EXPECT_EQ(rows[1].key.ranks, (TuningKey::Range{2, 8}));
  EXPECT_EQ(rows[1].key.ranksPerHost.first, 2);
  EXPECT_FALSE(rows[1].key.dtype.has_value());
  EXPECT_EQ(rows[1].key.codec, TuningKey::kQuantized);
  EXPECT_EQ(rows[1].upToBytes, TuningRow::kAnySize);
  EXPECT_FALSE(rows[1].exact);
  EXPECT_EQ(rows[1].algorithm, qcclAlgoAuto) << "the direct exchange";
  EXPECT_EQ(rows[1].keptAlgorithm, qcclAlgoAuto);
  EXPECT_EQ(rows[2].algorithm, qcclAlgoNccl);
  EXPECT_TRUE(rows[2].exact);
  EXPECT_EQ(rows[2].key.ranksPerHost, TuningKey::Range{}) << "0 is any";
  EXPECT_FALSE(rows[3].key.path.has_value());
  EXPECT_EQ(rows[3].upToBytes, 0u);
}

TEST(TuningText, WhatIsWrittenIsReadAgain) {
  const std::string rows =
      "allreduce host oneHost 4 any float32 int8 65536 none twoshot oneshot\n"
      "allreduce host severalHosts 4-6 2 float16 quantized max none twoshot -\n"
      "reducescatter cuda nccl 2-max 2-max any quantized max asked direct -\n"
      "reducescatter cuda peer any any any int4 7 none nccl ring\n"
      "allreduce cuda any any any any none max none tree -\n";
  EXPECT_EQ(formatTuning(parsed(rows)), "qccl-tuning 1\n" + rows);
  const std::string builtIn = formatTuning(builtInTuning()->rows());
  EXPECT_EQ(formatTuning(parseTuning("built in", builtIn, true)), builtIn);
}

TEST(TuningText, NoRowsAreATable) { EXPECT_TRUE(parsed("# nothing yet\n").empty()); }

TEST(TuningText, BadLinesAreRefusedWithTheirPlaceAndWhatToWrite) {
  const std::string good = "allreduce host oneHost 4 any float32 int8 65536 none twoshot oneshot\n";
  const std::vector<std::pair<std::string, std::vector<std::string>>> cases = {
      {"", {"my.tuning:1: not a tuning table", "qccl-tuning 1"}},
      {"# only a comment\n", {"my.tuning:2: not a tuning table"}},
      {good, {"my.tuning:1: not a tuning table", "qccl-perf --tune"}},
      {"qccl-tuning\n", {"my.tuning:1: not a tuning table"}},
      {"qccl-tuning 2\n", {"my.tuning:1: ", "version 2", "reads version 1", "measure anew"}},
      {"qccl-tuning 1\nallreduce host\n", {"my.tuning:2: 2 columns; write these 11: collective memory path"}},
      {"qccl-tuning 1\n" + good.substr(0, good.size() - 1) + " more\n", {"my.tuning:2: 12 columns"}},
      {"qccl-tuning 1\n\nallgather host oneHost 4 any float32 int8 1 none ring -\n",
       {"my.tuning:3: collective allgather", "reducescatter"}},
      {"qccl-tuning 1\nallreduce disk oneHost 4 any float32 int8 1 none ring -\n", {"memory disk", "host or cuda"}},
      {"qccl-tuning 1\nallreduce host peer 4 any float32 int8 1 none ring -\n",
       {"path peer", "oneHost, severalHosts, or any", "memory host"}},
      {"qccl-tuning 1\nallreduce cuda oneHost 4 any float32 int8 1 none ring -\n", {"path oneHost", "peer, host, nccl, or any"}},
      {"qccl-tuning 1\nallreduce host any 4- any float32 int8 1 none ring -\n", {"ranks 4-", "2-8 or 9-max"}},
      {"qccl-tuning 1\nallreduce host any 8-4 any float32 int8 1 none ring -\n", {"ranks 8-4"}},
      {"qccl-tuning 1\nallreduce host any max any float32 int8 1 none ring -\n", {"ranks max"}},
      {"qccl-tuning 1\nallreduce host any 99999999999 any float32 int8 1 none ring -\n", {"ranks 99999999999"}},
      {"qccl-tuning 1\nallreduce host any 4 two float32 int8 1 none ring -\n", {"ranksPerHost two"}},
      {"qccl-tuning 1\nallreduce host any 4 any float31 int8 1 none ring -\n", {"dtype float31", "bfloat16"}},
      {"qccl-tuning 1\nallreduce host any 4 any float32 zip 1 none ring -\n", {"asked zip", "quantized", "int8"}},
      {"qccl-tuning 1\nallreduce host any 4 any float32 int8 64K none ring -\n", {"upToBytes 64K", "number of bytes", "max"}},
      {"qccl-tuning 1\nallreduce host any 4 any float32 int8 -1 none ring -\n", {"upToBytes -1"}},
      {"qccl-tuning 1\nallreduce host any 4 any float32 int8 1 int4 ring -\n", {"codec int4", "asked, or none"}},
      {"qccl-tuning 1\nallreduce host any 4 any float32 int8 1 none star -\n", {"algorithm star", "oneshot, twoshot, ring, tree"}},
      {"qccl-tuning 1\nallreduce host any 4 any float32 int8 1 none auto -\n", {"algorithm auto"}},
      {"qccl-tuning 1\nallreduce host any 4 any float32 int8 1 none direct -\n", {"algorithm direct"}},
      {"qccl-tuning 1\nreducescatter host any 4 any float32 int8 1 none twoshot -\n", {"algorithm twoshot", "direct or ring"}},
      {"qccl-tuning 1\nallreduce host any 4 any float32 int8 1 none nccl -\n", {"algorithm nccl", "only exact, and on GPU memory"}},
      {"qccl-tuning 1\nallreduce cuda any 4 any float32 int8 1 asked nccl -\n", {"algorithm nccl", "only exact, and on GPU memory"}},
      {"qccl-tuning 1\nallreduce cuda any 4 any float32 int8 1 none nccl nccl\n", {"requested nccl", "only exact"}},
      {"qccl-tuning 1\nallreduce host any 4 any float32 int8 1 asked ring ring\n", {"requested ring", "write -"}},
      {"qccl-tuning 1\nallreduce host any 4 any float32 none 1 none ring ring\n", {"requested ring", "write -"}},
      {"qccl-tuning 1\n" + good + "# again\n" + good, {"my.tuning:4: line 2 is for the same calls of the same size; remove one"}}};
  for (const auto& [text, parts] : cases) {
    const std::string refusal = refusalOf(text);
    for (const std::string& part : parts) EXPECT_THAT(refusal, HasSubstr(part)) << text;
  }
}

TEST(TuningText, FilesThatCannotBeReadAreNamed) {
  for (const char* path : {"/nonexistent/my.tuning", "/"}) {
    try {
      readTuning(path);
      ADD_FAILURE() << path << " was read";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(std::string("QCCL_TUNING_TABLE=") + path + ": the file cannot be read ("));
      EXPECT_THAT(error.what(), testing::Not(HasSubstr("Success")));
    }
  }
  EXPECT_EQ(readTuning(""), builtInTuning());
}

TuningQuery query(std::uint64_t bytes, int ranks = 4, qcclCodec_t codec = qcclCodecInt8) {
  TuningQuery result;
  result.ranks = ranks;
  result.ranksPerHost = ranks;
  result.codec = codec;
  result.bytes = bytes;
  return result;
}

TEST(TuningTable, TheSmallestRowOfTheFirstKeyThatIsLargeEnoughCounts) {
  const TuningTable table(
      parsed("allreduce host any 4 any float32 int8 4096 asked ring -\n"
             "allreduce host any any any any quantized max asked twoshot -\n"
             "allreduce host any 4 any float32 int8 1024 asked oneshot -\n"
             "allreduce host any 4 any float32 int8 65536 asked tree -\n"));
  const auto algorithm = [&](const TuningQuery& asked) {
    const TuningRow* row = table.find(asked, any);
    return row != nullptr ? row->algorithm : qcclNumAlgos;
  };
  EXPECT_EQ(algorithm(query(0)), qcclAlgoOneshot);
  EXPECT_EQ(algorithm(query(1024)), qcclAlgoOneshot);
  EXPECT_EQ(algorithm(query(1025)), qcclAlgoRing);
  EXPECT_EQ(algorithm(query(4097)), qcclAlgoTree);
  EXPECT_EQ(algorithm(query(65537)), qcclAlgoTwoshot) << "the next key has a row for it";
  EXPECT_EQ(algorithm(query(100, 5)), qcclAlgoTwoshot);
  EXPECT_EQ(algorithm(query(100, 4, qcclCodecInt4)), qcclAlgoTwoshot);
  EXPECT_EQ(algorithm(query(100, 4, qcclCodecNone)), qcclNumAlgos) << "quantized is any codec but none";
  TuningQuery other = query(100);
  other.dtype = qcclBfloat16;
  EXPECT_EQ(algorithm(other), qcclAlgoTwoshot);
  other.onDevice = true;
  EXPECT_EQ(algorithm(other), qcclNumAlgos);
  // What cannot be used is as if it were not there.
  const auto notOneshot = [](const TuningRow& row) { return row.algorithm != qcclAlgoOneshot; };
  EXPECT_EQ(table.find(query(100), notOneshot)->algorithm, qcclAlgoRing);
}

TEST(TuningTable, RangesAndPathsMustFit) {
  const TuningTable table(
      parsed("allreduce host severalHosts 4-8 2-max any int8 max asked hier -\n"
             "allreduce host oneHost any any any int8 max asked ring -\n"));
  TuningQuery asked = query(100, 4);
  EXPECT_EQ(table.find(asked, any)->algorithm, qcclAlgoRing);
  asked.path = RankPath::severalHosts;
  EXPECT_EQ(table.find(asked, any)->algorithm, qcclAlgoHier);
  asked.ranksPerHost = 1;
  EXPECT_EQ(table.find(asked, any), nullptr);
  asked.ranksPerHost = 0;  // not known
  EXPECT_EQ(table.find(asked, any), nullptr);
  asked.ranksPerHost = 3;
  asked.ranks = 9;
  EXPECT_EQ(table.find(asked, any), nullptr);
}

TEST(TuningTable, AFileComesBeforeWhatIsBuiltIn) {
  const test::TemporaryFolder folder;
  const auto table = readTuning(folder.write("table", "qccl-tuning 1\nallreduce host any 2 any any quantized max asked ring -\n"));
  EXPECT_EQ(table->rows().size(), builtInTuning()->rows().size()) << "one of those built in is replaced";
  EXPECT_FALSE(table->rows().front().builtIn);
  EXPECT_TRUE(table->rows().back().builtIn);
  EXPECT_EQ(table->find(query(100, 2), any)->algorithm, qcclAlgoRing);
  EXPECT_EQ(table->find(query(100, 3), any)->algorithm, qcclAlgoOneshot);
}

// The rules that held before there was a table, for host memory.
TEST(BuiltInTuning, HasARowForEveryCall) {
  for (const int ranks : {1, 2, 3, 8, 9, 2048}) {
    for (const int ranksPerHost : {0, 1, 2, ranks}) {
      for (const qcclCodec_t codec : {qcclCodecNone, qcclCodecInt8}) {
        for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{32768}, std::uint64_t{32769}, std::uint64_t{1} << 50}) {
          TuningQuery asked = query(bytes, ranks, codec);
          asked.ranksPerHost = ranksPerHost;
          asked.path = ranks == 1 || ranksPerHost == ranks ? RankPath::oneHost : RankPath::severalHosts;
          const bool small = bytes <= 32768;
          qcclAlgo_t expected = qcclAlgoTwoshot;
          if ((codec != qcclCodecNone && ranks == 2) || (small && ranks <= 8)) {
            expected = qcclAlgoOneshot;
          } else if (small) {
            expected = qcclAlgoTree;
          } else if (ranksPerHost > 1 && asked.path == RankPath::severalHosts) {
            expected = qcclAlgoHier;
          }
          const TuningRow* row = builtInTuning()->find(asked, any);
          ASSERT_NE(row, nullptr);
          EXPECT_EQ(row->algorithm, expected) << ranks << " ranks, " << ranksPerHost << " a host, " << bytes << " bytes";
          EXPECT_EQ(row->exact, codec == qcclCodecNone);
          for (const RankPath path : {RankPath::peer, RankPath::host, RankPath::nccl}) {
            TuningQuery onDevice = asked;
            onDevice.onDevice = true;
            onDevice.path = path;
            const auto withoutNccl = [](const TuningRow& each) { return each.algorithm != qcclAlgoNccl; };
            EXPECT_NE(builtInTuning()->find(onDevice, withoutNccl), nullptr);
            onDevice.coll = qcclCollReduceScatter;
            EXPECT_NE(builtInTuning()->find(onDevice, withoutNccl), nullptr);
          }
          asked.coll = qcclCollReduceScatter;
          EXPECT_EQ(builtInTuning()->find(asked, any)->algorithm, qcclAlgoAuto);
        }
      }
    }
  }
}

}  // namespace
}  // namespace qccl::collectives
