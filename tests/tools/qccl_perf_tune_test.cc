// qccl-perf --tune as a user runs it: a table that the library reads and follows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/temporary_folder.hpp"
#include "tools/perf_lines.hpp"

namespace qccl::test {
namespace {

using nlohmann::json;
using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;

const std::vector<std::string> kTiny = {"--min", "1K", "--max", "4K", "--iters", "3", "--warmup", "1"};

TEST(PerfTune, WritesATableThatIsReadAndFollowed) {
  const TemporaryFolder folder;
  const std::string table = folder.path("table");
  for (const char* transport : {"inproc", "ucx"}) {
    SCOPED_TRACE(transport);
    const PerfRun run = runPerf(with(
        {"allreduce", "--transport", transport, "--ranks", "2", "--codec", "int8", "--dtype", "float32,bfloat16", "--tune", table}, kTiny));
    ASSERT_EQ(run.process.exitCode, 0) << run.process.err;
    for (const char* part : {"none:oneshot", "int8:twoshot", "int8:ring", "dtype bfloat16", "rows written to "})
      EXPECT_THAT(run.process.out, HasSubstr(part));
    EXPECT_THAT(run.process.out, ContainsRegex("4096.*[0-9][*].*(none|int8):")) << "a time that is marked, and a choice";
    const std::string text = readFile(table);
    for (const char* key : {"float32 none", "float32 int8", "bfloat16 none", "bfloat16 int8"})
      EXPECT_THAT(text, HasSubstr(std::string("\nallreduce host oneHost 2 any ") + key + " max "));
  }
  const PerfRun more = runPerf(with({"reducescatter", "--ranks", "3", "--tune", table}, kTiny));
  ASSERT_EQ(more.process.exitCode, 0) << more.process.err;
  const std::string text = readFile(table);
  EXPECT_THAT(text, HasSubstr("\nreducescatter host oneHost 3 any float32 none max none "));
  EXPECT_THAT(text, HasSubstr("\nallreduce host oneHost 2 any bfloat16 int8 max ")) << "rows of another run stay";
  const PerfRun use = runPerf(with({"allreduce", "--ranks", "2", "--codec", "int8", "--json", "-"}), {}, {{"QCCL_TUNING_TABLE", table}});
  ASSERT_EQ(use.process.exitCode, 0) << use.process.err;
  ASSERT_EQ(use.lines.size(), 6u);
  for (const json& line : use.lines) EXPECT_THAT(line.at("reason").get<std::string>(), HasSubstr("(tuning table)"));
}

TEST(PerfTune, WhatTheTableChoosesIsSaidOfEverySize) {
  const TemporaryFolder folder;
  const std::string table = folder.write("table",
                                         "qccl-tuning 1\n"
                                         "allreduce host any 2 any float32 int8 8192 none ring tree\n"
                                         "allreduce host any 2 any float32 int8 max asked twoshot -\n");
  const std::vector<std::string> flags = {"allreduce", "--ranks", "2", "--codec", "int8"};
  for (const char* transport : {"inproc", "ucx"}) {
    const auto lines = [&](const std::vector<std::string>& more) {
      const PerfRun run =
          runPerf(with(with(flags, more), with({"--transport", transport, "--json", "-"})), {}, {{"QCCL_TUNING_TABLE", table}});
      EXPECT_EQ(run.process.exitCode, 0) << run.process.err;
      EXPECT_EQ(run.lines.size(), 6u);
      return run.lines;
    };
    const std::vector<json> own = lines({});
    const std::vector<json> kept = lines({"--keep-codec"});
    ASSERT_EQ(own.size(), kept.size());
    for (std::size_t i = 0; i < own.size(); ++i) {
      const bool small = own[i].at("bytes").get<int>() <= 8192;
      EXPECT_EQ(own[i].at("codec"), small ? "none" : "int8");
      EXPECT_EQ(own[i].at("algo"), small ? "ring" : "twoshot");
      EXPECT_EQ(kept[i].at("codec"), "int8");
      EXPECT_EQ(kept[i].at("algo"), small ? "tree" : "twoshot");
      EXPECT_EQ(own[i].at("wrong"), 0);
    }
  }
  const PerfRun page = runPerf(with(flags), {}, {{"QCCL_TUNING_TABLE", table}});
  EXPECT_THAT(page.process.out, HasSubstr("# codec none from here: exact; ring: measured fastest instead of int8 up to 8192 bytes"));
}

TEST(PerfTune, ABadTableEndsTheRunWithItsLine) {
  const TemporaryFolder folder;
  const std::string table = folder.write("table", "qccl-tuning 1\nallreduce host any 2 any float32 int8 8192 none star -\n");
  for (const char* transport : {"inproc", "ucx"}) {
    const PerfRun run = runPerf(with({"allreduce", "--ranks", "2", "--transport", transport}), {}, {{"QCCL_TUNING_TABLE", table}});
    EXPECT_THAT(run.process.exitCode, AnyOf(1, 2));
    EXPECT_THAT(run.process.err, HasSubstr(table + ":2: algorithm star is not known"));
  }
  const PerfRun tune = runPerf(with({"allreduce", "--ranks", "2", "--tune", table}, kTiny));
  EXPECT_EQ(tune.process.exitCode, 2);
  EXPECT_THAT(tune.process.err, HasSubstr(table + ":2: algorithm star is not known"));
}

struct TuneRefusal {
  const char* name;
  std::vector<std::string> flags;
  const char* says;
};

class PerfTuneRefuses : public testing::TestWithParam<TuneRefusal> {};

TEST_P(PerfTuneRefuses, WithASentence) {
  const TemporaryFolder folder;
  const PerfRun run = runPerf(with(with(GetParam().flags, {"--tune", folder.path("table")}), kTiny));
  EXPECT_NE(run.process.exitCode, 0);
  EXPECT_THAT(run.process.err, HasSubstr("qccl-perf: "));
  EXPECT_THAT(run.process.err, HasSubstr(GetParam().says));
  EXPECT_TRUE(folder.contents().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Tools, PerfTuneRefuses,
    testing::Values(TuneRefusal{"no_choice", {"broadcast"}, "--tune: only allreduce and reducescatter have a choice"},
                    TuneRefusal{"algorithm", {"allreduce", "--algo", "ring"}, "leave --algo out"},
                    TuneRefusal{"json", {"allreduce", "--json", "-"}, "leave --json out"},
                    TuneRefusal{
                        "other_library", {"allreduce", "--against", "gloo"}, "--against gloo: calls can be handed over to NCCL only"},
                    TuneRefusal{"one_rank", {"allreduce", "--ranks", "1"}, "one rank sends nothing"},
                    TuneRefusal{"type_without_codec", {"allreduce", "--dtype", "int32", "--codec", "int8"}, "int32 is not quantized"},
                    TuneRefusal{"unknown_type", {"allreduce", "--dtype", "float32,float31"}, "--dtype float31: unknown"}),
    [](const testing::TestParamInfo<TuneRefusal>& each) { return each.param.name; });

TEST(PerfTune, SeveralTypesAreForItAlone) {
  const PerfRun run = runPerf(with({"allreduce", "--dtype", "float32,bfloat16"}));
  EXPECT_EQ(run.process.exitCode, 2);
  EXPECT_THAT(run.process.err, HasSubstr("--dtype: several types only with --tune"));
}

}  // namespace
}  // namespace qccl::test
