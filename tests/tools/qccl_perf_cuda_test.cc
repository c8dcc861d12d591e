// qccl-perf --memory cuda: operands on GPUs, results verified as on the host, in turn with the real NCCL; and what it says where there is
// no GPU.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/perf_lines.hpp"

namespace qccl::test {
namespace {

using nlohmann::json;
using testing::AnyOf;
using testing::HasSubstr;

const std::vector<std::string> kCuda = {"allreduce", "--memory", "cuda", "--ranks", "2", "--json", "-"};

// What qccl-perf says where it has no GPU to work with; "" where it has one.
std::string whyNoGpu() {
  static const std::string why = [] {
    const PerfRun run = runPerf({"allreduce", "--memory", "cuda", "--root", "9", "--ranks", "1"});  // refused in any case, later
    return run.process.err.find("--memory cuda: ") == std::string::npos ? std::string() : run.process.err;
  }();
  return why;
}

TEST(PerfCuda, WithoutAGpuItIsRefused) {
  if (whyNoGpu().empty()) GTEST_SKIP() << "there is a GPU";
  for (const char* transport : {"inproc", "ucx"}) {
    const PerfRun run = runPerf(with(kCuda, {"--transport", transport}));
    EXPECT_EQ(run.process.exitCode, 2);
    EXPECT_THAT(run.process.err, AnyOf(HasSubstr("--memory cuda: this machine has no GPU that CUDA can use ("),
                                       HasSubstr("--memory cuda: this qccl-perf was built without CUDA; install the CUDA toolkit")));
    EXPECT_TRUE(run.lines.empty());
  }
}

TEST(PerfCuda, IsVerifiedIdenticalAndRepeatable) {
  if (!whyNoGpu().empty()) GTEST_SKIP() << whyNoGpu();
  for (const char* transport : {"inproc", "ucx"}) {
    for (const char* codec : {"none", "int8"}) {
      for (const bool graph : {false, true}) {
        SCOPED_TRACE(std::string(transport) + " " + codec + (graph ? " graph" : ""));
        // Small calls that do not ask for the codec themselves may be exact.
        std::vector<std::string> flags = with(kCuda, {"--transport", transport, "--codec", codec, "--keep-codec"});
        if (graph) flags.emplace_back("--graph");
        const PerfRun run = runPerf(with(flags));
        ASSERT_EQ(run.process.exitCode, 0) << run.process.err << run.process.out;
        ASSERT_EQ(run.lines.size(), 6u);
        for (const json& line : run.lines) {
          EXPECT_EQ(line.at("memory"), "cuda");
          EXPECT_EQ(line.at("graph"), graph);
          EXPECT_EQ(line.at("calls_per_iter"), 10);
          EXPECT_EQ(line.at("codec"), codec);
          EXPECT_EQ(line.at("wrong"), 0);
          EXPECT_EQ(line.at("rank_identical"), true);
          EXPECT_EQ(line.at("repeatable"), true);
          EXPECT_GT(line.at("time_us").get<double>(), 0.0);
        }
      }
    }
  }
}

// As on the host: the same data, the same bits, so the same errors.
TEST(PerfCuda, ErrorsAreThoseOfTheHost) {
  if (!whyNoGpu().empty()) GTEST_SKIP() << whyNoGpu();
  const std::vector<std::string> flags = {"allreduce", "--ranks", "2", "--algo", "twoshot", "--codec", "int8", "--json", "-"};
  const PerfRun host = runPerf(with(flags));
  const PerfRun cuda = runPerf(with(with(flags), {"--memory", "cuda"}));
  ASSERT_EQ(host.lines.size(), 6u) << host.process.err;
  ASSERT_EQ(cuda.lines.size(), 6u) << cuda.process.err;
  for (std::size_t i = 0; i < host.lines.size(); ++i) {
    for (const char* key : {"bytes", "in_place", "snr_db", "max_err_over_bound"})
      EXPECT_EQ(host.lines[i].at(key), cuda.lines[i].at(key)) << key;
  }
}

#if QCCL_PERF_NCCL
// NCCL_LIBRARY names the file where the loader does not find it. True: `run` could not compare on this machine, and why has been said.
bool skipsNccl(const PerfRun& run) {
  for (const char* reason : {"cannot be opened (", "NCCL wants a GPU for every rank"}) {
    if (run.process.err.find(reason) != std::string::npos) return true;
  }
  return false;
}

TEST(PerfCuda, NcclWithRanksAsThreadsAndAsProcessesWithAndWithoutGraphs) {
  if (!whyNoGpu().empty()) GTEST_SKIP() << whyNoGpu();
  for (const char* transport : {"inproc", "ucx"}) {
    for (const char* dtype : {"float32", "bfloat16", "float16"}) {
      for (const bool graph : {false, true}) {
        SCOPED_TRACE(std::string(transport) + " " + dtype + (graph ? " graph" : ""));
        std::vector<std::string> flags = with(kCuda, {"--transport", transport, "--dtype", dtype, "--codec", "int8", "--against", "nccl"});
        if (graph) flags.emplace_back("--graph");
        const PerfRun run = runPerf(with(flags));
        if (skipsNccl(run)) GTEST_SKIP() << run.process.err;
        ASSERT_EQ(run.process.exitCode, 0) << run.process.err << run.process.out;
        ASSERT_EQ(run.lines.size(), 6u);
        for (const json& line : run.lines) {
          EXPECT_EQ(line.at("against"), "nccl");
          EXPECT_EQ(line.at("wrong"), 0);
          const double time = line.at("against_time_us").get<double>();
          EXPECT_GT(time, 0.0);
          EXPECT_NEAR(line.at("ratio").get<double>(), time / line.at("time_us").get<double>(), 1e-6);
        }
      }
    }
  }
}

TEST(PerfCuda, NcclHasTheOtherCollectives) {
  if (!whyNoGpu().empty()) GTEST_SKIP() << whyNoGpu();
  for (const char* collective : {"reducescatter", "allgather", "broadcast", "reduce", "sendrecv"}) {
    SCOPED_TRACE(collective);
    std::vector<std::string> flags = with(kCuda, {"--against", "nccl"});
    flags[0] = collective;
    const PerfRun run = runPerf(with(flags));
    if (skipsNccl(run)) GTEST_SKIP() << run.process.err;
    ASSERT_EQ(run.process.exitCode, 0) << run.process.err << run.process.out;
    for (const json& line : run.lines) EXPECT_EQ(line.at("against"), "nccl");
  }
}

TEST(PerfCuda, AnNcclThatIsNotThereIsRefused) {
  if (!whyNoGpu().empty()) GTEST_SKIP() << whyNoGpu();
  const PerfRun run = runPerf(with(kCuda, {"--against", "nccl", "--nccl-lib", "/nonexistent/libnccl.so.2"}));
  EXPECT_EQ(run.process.exitCode, 2);
  EXPECT_THAT(run.process.err, HasSubstr("/nonexistent/libnccl.so.2 cannot be opened ("));
  EXPECT_THAT(run.process.err, HasSubstr("--nccl-lib or NCCL_LIBRARY"));
}
#endif

}  // namespace
}  // namespace qccl::test
