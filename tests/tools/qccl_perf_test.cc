// qccl-perf as a user runs it: every algorithm and codec over both transports, the JSON that scripts read, and what it says when it is
// asked for the impossible.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <tuple>

#include "tools/perf_lines.hpp"

namespace qccl::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

using RunCase = std::tuple<const char*, int, const char*, const char*>;  // transport, ranks, algorithm, codec

class PerfAllReduce : public testing::TestWithParam<RunCase> {};

TEST_P(PerfAllReduce, IsVerifiedIdenticalAndRepeatable) {
  const auto [transport, ranks, algorithm, codec] = GetParam();
  const PerfRun run = runPerf(with(
      {"allreduce", "--transport", transport, "--ranks", std::to_string(ranks), "--algo", algorithm, "--codec", codec, "--json", "-"}));
  ASSERT_EQ(run.process.exitCode, 0) << run.process.err << run.process.out;
  ASSERT_EQ(run.lines.size(), 6u) << "three sizes, out of place and in place";
  for (const json& line : run.lines) {
    EXPECT_EQ(line.at("collective"), "allreduce");
    EXPECT_EQ(line.at("algo"), algorithm);
    EXPECT_EQ(line.at("codec"), ranks == 1 ? "none" : codec) << "a rank that is alone has nothing to quantize";
    EXPECT_EQ(line.at("dtype"), "float32");
    EXPECT_EQ(line.at("ranks"), ranks);
    EXPECT_EQ(line.at("transport"), transport);
    EXPECT_EQ(line.at("rank_identical"), true);
    EXPECT_EQ(line.at("repeatable"), true);
    EXPECT_EQ(line.at("wrong"), 0);
    EXPECT_LE(line.at("max_err_over_bound").get<double>(), 1.0);
    EXPECT_GT(line.at("time_us").get<double>(), 0.0);
    EXPECT_GT(line.at("algbw_gbs").get<double>(), 0.0);
    const double factor = 2.0 * (ranks - 1) / ranks;
    EXPECT_NEAR(line.at("busbw_gbs").get<double>(), factor * line.at("algbw_gbs").get<double>(), 1e-9);
    if (ranks == 1) {
      EXPECT_EQ(line.at("wire_bytes"), 0);
    } else {
      EXPECT_GT(line.at("wire_bytes").get<double>(), 0);
    }
  }
  if (ranks > 1 && std::string(codec) == "int8") {
    const json& largest = run.lines.back();
    EXPECT_LE(largest.at("wire_bytes").get<double>(), 0.26 * largest.at("exact_wire_bytes").get<double>());
    EXPECT_GT(largest.at("snr_db").get<double>(), 30.0) << "eight bits of normal data";
  }
}

INSTANTIATE_TEST_SUITE_P(Tools, PerfAllReduce,
                         testing::Combine(testing::Values("inproc", "ucx"), testing::Values(1, 2, 3),
                                          testing::Values("oneshot", "twoshot", "ring", "tree", "hier"), testing::Values("none", "int8")),
                         [](const testing::TestParamInfo<RunCase>& each) {
                           return std::string(std::get<0>(each.param)) + "_" + std::to_string(std::get<1>(each.param)) + "_" +
                                  std::get<2>(each.param) + "_" + std::get<3>(each.param);
                         });

using CollectiveCase = std::tuple<const char*, const char*>;  // transport, collective

class PerfCollective : public testing::TestWithParam<CollectiveCase> {};

TEST_P(PerfCollective, IsVerified) {
  const auto [transport, collective] = GetParam();
  for (const char* dtype : {"bfloat16", "int32"}) {
    const PerfRun run = runPerf(with(
        {collective, "--transport", transport, "--ranks", "3", "--dtype", dtype, "--codec", "int8", "--data", "integers", "--json", "-"}));
    ASSERT_EQ(run.process.exitCode, 0) << run.process.err << run.process.out;
    const bool sendrecv = std::string(collective) == "sendrecv";
    ASSERT_EQ(run.lines.size(), sendrecv ? 3u : 6u);
    // The codec applies to sums of floating types only; everything else travels as it is, and the line says so.
    const bool quantized = std::string(collective) == "reducescatter" && std::string(dtype) == "bfloat16";
    for (const json& line : run.lines) {
      EXPECT_EQ(line.at("collective"), collective);
      EXPECT_EQ(line.at("codec"), quantized ? "int8" : "none");
      EXPECT_EQ(line.at("repeatable"), true);
      EXPECT_EQ(line.at("wrong"), 0);
      if (!quantized) {
        EXPECT_TRUE(line.at("snr_db").is_null()) << "no error at all: " << line;
      }
      const bool everywhere = std::string(collective) == "allgather" || std::string(collective) == "broadcast";
      if (everywhere) {
        EXPECT_EQ(line.at("rank_identical"), true);
      } else {
        EXPECT_TRUE(line.at("rank_identical").is_null()) << "ranks get different results";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tools, PerfCollective,
                         testing::Combine(testing::Values("inproc", "ucx"),
                                          testing::Values("reducescatter", "allgather", "broadcast", "reduce", "sendrecv")),
                         [](const testing::TestParamInfo<CollectiveCase>& each) {
                           return std::string(std::get<0>(each.param)) + "_" + std::get<1>(each.param);
                         });

TEST(QcclPerf, StochasticRoundingIsRepeatableToo) {
  for (const char* transport : {"inproc", "ucx"}) {
    const PerfRun run = runPerf(with({"allreduce", "--transport", transport, "--ranks", "2", "--algo", "ring", "--codec", "int8",
                                      "--rounding", "stochastic", "--json", "-"}));
    ASSERT_EQ(run.process.exitCode, 0) << run.process.err << run.process.out;
    for (const json& line : run.lines) {
      EXPECT_EQ(line.at("rounding"), "stochastic");
      EXPECT_EQ(line.at("repeatable"), true);
      EXPECT_EQ(line.at("rank_identical"), true);
    }
  }
}

TEST(QcclPerf, TransportsGiveTheSameErrorsBecauseTheyGiveTheSameBits) {
  const std::vector<std::string> flags =
      with({"allreduce", "--ranks", "3", "--algo", "twoshot", "--codec", "int8", "--dtype", "bfloat16", "--json", "-"});
  const PerfRun inproc = runPerf(with(flags, {"--transport", "inproc"}));
  const PerfRun ucx = runPerf(with(flags, {"--transport", "ucx"}));
  ASSERT_EQ(inproc.lines.size(), 6u) << inproc.process.err;
  ASSERT_EQ(ucx.lines.size(), 6u) << ucx.process.err;
  for (std::size_t i = 0; i < inproc.lines.size(); ++i) {
    for (const char* key : {"bytes", "in_place", "wire_bytes", "snr_db", "max_err_over_bound"})
      EXPECT_EQ(inproc.lines[i].at(key), ucx.lines[i].at(key)) << key;
  }
}

TEST(QcclPerf, JsonFileBesideTheTable) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("qccl-perf-test-" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  const std::string file = (folder / "out.jsonl").string();
  const PerfRun run = runPerf(with({"allreduce", "--ranks", "2", "--json", file}));
  std::ifstream lines(file);
  int count = 0;
  std::set<std::string> keys;
  for (std::string line; std::getline(lines, line); ++count) {
    const json parsed = json::parse(line);
    for (const auto& [key, value] : parsed.items()) keys.insert(key);
  }
  std::filesystem::remove_all(folder);
  EXPECT_EQ(run.process.exitCode, 0) << run.process.err;
  EXPECT_EQ(count, 6);
  EXPECT_THAT(keys, testing::IsSupersetOf({"collective", "algo", "codec", "dtype", "ranks", "transport", "bytes", "time_us", "algbw_gbs",
                                           "busbw_gbs", "wire_bytes", "snr_db", "max_err_over_bound", "rank_identical", "repeatable"}));
  for (const char* part : {"out of place", "in place", "algbw", "busbw", "err/bound", "#wrong", "# Avg bus bandwidth", "OK"})
    EXPECT_THAT(run.process.out, HasSubstr(part));
}

TEST(QcclPerf, PrecisionThatIsDemandedChangesTheChoice) {
  const std::vector<std::string> flags = {"allreduce", "--ranks", "4",       "--codec", "int8",   "--min", "256K",
                                          "--max",     "256K",    "--iters", "2",       "--json", "-"};
  const PerfRun any = runPerf(flags);
  ASSERT_EQ(any.process.exitCode, 0) << any.process.err;
  EXPECT_EQ(any.lines[0].at("algo"), "twoshot");
  const double predicted = any.lines[0].at("predicted_snr_db");
  EXPECT_NEAR(any.lines[0].at("snr_db").get<double>(), predicted, 0.5);  // the data are normal, as the prediction supposes
  const PerfRun better = runPerf(with(flags, {"--min-snr", std::to_string(predicted + 1)}));
  ASSERT_EQ(better.process.exitCode, 0) << better.process.err;
  EXPECT_EQ(better.lines[0].at("algo"), "oneshot");
  EXPECT_GT(better.lines[0].at("snr_db").get<double>(), predicted + 1);
  const PerfRun exact = runPerf(with(flags, {"--min-snr", "100"}));
  ASSERT_EQ(exact.process.exitCode, 0) << exact.process.err;
  EXPECT_EQ(exact.lines[0].at("codec"), "none");
  EXPECT_TRUE(exact.lines[0].at("predicted_snr_db").is_null());
}

TEST(QcclPerf, LinesSayWhereTheBuffersWere) {
  const PerfRun run = runPerf(with({"allreduce", "--ranks", "2", "--json", "-"}));
  ASSERT_EQ(run.lines.size(), 6u) << run.process.err;
  EXPECT_EQ(run.lines[0].at("memory"), "host");
  EXPECT_EQ(run.lines[0].at("graph"), false);
  EXPECT_EQ(run.lines[0].at("blocks"), 0) << "the library's choice";
  EXPECT_EQ(run.lines[0].at("calls_per_iter"), 1);
  const PerfRun few = runPerf(with({"allreduce", "--ranks", "2", "--json", "-"}), {}, {{"QCCL_THREAD_BLOCKS", "32"}});
  ASSERT_EQ(few.lines.size(), 6u) << few.process.err;
  EXPECT_EQ(few.lines[0].at("blocks"), 32);
}

TEST(QcclPerf, WithoutChecksNothingIsClaimed) {
  const PerfRun run = runPerf(with({"allreduce", "--ranks", "2", "--check", "0", "--json", "-"}));
  ASSERT_EQ(run.process.exitCode, 0) << run.process.err;
  ASSERT_EQ(run.lines.size(), 6u);
  for (const char* key : {"snr_db", "max_err_over_bound", "rank_identical", "repeatable", "wrong"})
    EXPECT_TRUE(run.lines[0].at(key).is_null()) << key;
}

TEST(QcclPerf, ACodecThatWasNotUsedIsSaid) {
  const PerfRun run = runPerf(with({"allreduce", "--ranks", "2", "--codec", "int8", "--quant-min", "1M"}));
  EXPECT_EQ(run.process.exitCode, 0) << run.process.err;
  EXPECT_THAT(run.process.out, HasSubstr("# codec none from here: "));
}

TEST(QcclPerf, IterationsFitIntoTheTime) {
  const PerfRun run = runPerf({"allreduce", "--ranks", "2", "--min", "1K", "--max", "1K", "--time", "0.01", "--json", "-"});
  ASSERT_EQ(run.process.exitCode, 0) << run.process.err;
  ASSERT_EQ(run.lines.size(), 2u);
  EXPECT_GE(run.lines[0].at("iters").get<int>(), 5);
}

#ifdef QCCL_MPIRUN
TEST(QcclPerf, RunsUnderMpirun) {
  const std::map<std::string, std::string> environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}};
  const PerfRun run = runPerf(with({"allreduce", "--algo", "ring", "--codec", "int8", "--json", "-"}),
                              {QCCL_MPIRUN, "--oversubscribe", "-n", "2"}, environment);
  ASSERT_EQ(run.process.exitCode, 0) << run.process.err << run.process.out;
  ASSERT_EQ(run.lines.size(), 6u) << run.process.err;
  EXPECT_EQ(run.lines[0].at("ranks"), 2);
  EXPECT_EQ(run.lines[0].at("transport"), "ucx");
}
#endif

struct Refusal {
  const char* name;
  std::vector<std::string> flags;
  const char* says;
};

class PerfRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(PerfRefuses, WithASentenceAndAnExitCode) {
  const PerfRun run = runPerf(GetParam().flags);
  EXPECT_NE(run.process.exitCode, 0);
  EXPECT_LT(run.process.exitCode, 128) << "killed";
  EXPECT_THAT(run.process.err, HasSubstr("qccl-perf: "));
  EXPECT_THAT(run.process.err, HasSubstr(GetParam().says));
  EXPECT_TRUE(run.lines.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Tools, PerfRefuses,
    testing::Values(Refusal{"no_collective", {}, "collective is required"},
                    Refusal{"unknown_collective", {"alltoall"}, "allowed: allreduce, reducescatter"},
                    Refusal{"unknown_codec", {"allreduce", "--codec", "zip"}, "--codec zip: unknown; allowed: none, int8"},
                    Refusal{"unknown_algorithm", {"allreduce", "--algo", "star"}, "allowed: auto, oneshot, twoshot, ring, tree"},
                    Refusal{"unknown_type", {"allreduce", "--dtype", "float128"}, "bfloat16"},
                    Refusal{"unknown_op", {"allreduce", "--op", "xor"}, "allowed: sum, prod"},
                    Refusal{"unknown_transport", {"allreduce", "--transport", "pigeon"}, "allowed: auto, inproc, ucx"},
                    Refusal{"unknown_data", {"allreduce", "--data", "zeros"}, "allowed: normal, uniform, heavy, integers"},
                    Refusal{"unknown_memory", {"allreduce", "--memory", "disk"}, "--memory disk: unknown; allowed: host, cuda"},
                    Refusal{"graph_on_host", {"allreduce", "--graph"}, "--graph: only calls on GPU memory"},
                    Refusal{"unknown_flag", {"allreduce", "--fast"}, "--fast"},
                    Refusal{"bad_size", {"allreduce", "--min", "1.5K"}, "--min 1.5K: is not a size"},
                    Refusal{"first_above_last", {"allreduce", "--min", "1M", "--max", "1K"}, "--min is larger than --max"},
                    Refusal{"zero_size", {"allreduce", "--min", "0"}, "--min 0"},
                    Refusal{"factor_one", {"allreduce", "--factor", "1"}, "--factor 1: must be from 2"},
                    Refusal{"no_ranks", {"allreduce", "--ranks", "-3"}, "--ranks -3: must be from 1"},
                    Refusal{"bad_block", {"allreduce", "--ranks", "2", "--codec", "int8", "--block", "100"}, "100"},
                    Refusal{"negative_snr", {"allreduce", "--min-snr", "-3"}, "--min-snr: must not be negative"},
                    Refusal{"root_outside", {"broadcast", "--ranks", "2", "--root", "2"}, "--root 2: there are only ranks 0 to 1"},
                    Refusal{"alone_with_sendrecv", {"sendrecv", "--ranks", "1"}, "at least two ranks"},
                    Refusal{"more_than_memory", {"allreduce", "--ranks", "8", "--max", "1000G"}, "lower --max or --ranks"},
                    Refusal{"unwritable_json", {"allreduce", "--ranks", "1", "--json", "/nonexistent/out.jsonl"}, "cannot be written"},
                    Refusal{"zero_time", {"allreduce", "--time", "0"}, "--time"}),
    [](const testing::TestParamInfo<Refusal>& each) { return each.param.name; });

}  // namespace
}  // namespace qccl::test
