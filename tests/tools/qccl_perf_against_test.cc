// qccl-perf --against: the other library really runs, on results that were verified, and what it cannot do is refused with a sentence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/perf_lines.hpp"

namespace qccl::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

[[maybe_unused]] void expectCompared(const PerfRun& run, const std::string& peer, std::size_t lines) {
  ASSERT_EQ(run.process.exitCode, 0) << run.process.err << run.process.out;
  ASSERT_EQ(run.lines.size(), lines);
  for (const json& line : run.lines) {
    EXPECT_EQ(line.at("wrong"), 0);
    EXPECT_EQ(line.at("against"), peer);
    const double time = line.at("against_time_us").get<double>();
    EXPECT_GT(time, 0.0);
    EXPECT_NEAR(line.at("ratio").get<double>(), time / line.at("time_us").get<double>(), 1e-6);
  }
}

TEST(PerfAgainst, NothingIsComparedUnlessAsked) {
  const PerfRun run = runPerf(with({"allreduce", "--ranks", "2", "--json", "-"}));
  ASSERT_EQ(run.lines.size(), 6u) << run.process.err;
  for (const char* key : {"against", "against_time_us", "ratio"}) EXPECT_TRUE(run.lines[0].at(key).is_null()) << key;
}

void expectRefused(const std::vector<std::string>& flags, const char* says) {
  const PerfRun run = runPerf(flags);
  EXPECT_EQ(run.process.exitCode, 2);
  EXPECT_THAT(run.process.err, HasSubstr(says));
  EXPECT_TRUE(run.lines.empty());
}

TEST(PerfAgainst, AnUnknownLibraryIsRefused) {
  expectRefused({"allreduce", "--against", "carrier-pigeon"}, "--against carrier-pigeon: unknown; allowed: none, mpi, gloo, nccl");
}

TEST(PerfAgainst, LibrariesAreComparedWhereTheirMemoryIs) {
  expectRefused({"allreduce", "--against", "nccl"}, "--against nccl: NCCL has no calls on host memory; add --memory cuda");
  for (const char* library : {"gloo", "mpi"})
    expectRefused({"allreduce", "--against", library, "--memory", "cuda"}, "compared on host memory alone; leave --memory cuda out");
  expectRefused({"allreduce", "--nccl-lib", "/lib/libnccl.so.2"}, "--nccl-lib: only of use with --against nccl");
}

#if QCCL_PERF_GLOO
TEST(PerfAgainst, GlooWithRanksAsThreadsAndAsProcesses) {
  for (const char* transport : {"inproc", "ucx"}) {
    for (const char* codec : {"none", "int8"}) {
      expectCompared(
          runPerf(with({"allreduce", "--transport", transport, "--ranks", "2", "--codec", codec, "--against", "gloo", "--json", "-"})),
          "gloo", 6);
    }
  }
}

TEST(PerfAgainst, GlooHasTheOtherCollectives) {
  for (const char* collective : {"allgather", "broadcast", "reduce", "sendrecv"}) {
    SCOPED_TRACE(collective);
    const std::size_t lines = std::string(collective) == "sendrecv" ? 3 : 6;
    expectCompared(runPerf(with({collective, "--ranks", "3", "--dtype", "float16", "--against", "gloo", "--json", "-"})), "gloo", lines);
  }
}

TEST(PerfAgainst, TheTableNamesTheLibrary) {
  const PerfRun run = runPerf({"allreduce", "--ranks", "2", "--against", "gloo", "--min", "4K", "--max", "4K", "--iters", "3"});
  EXPECT_EQ(run.process.exitCode, 0) << run.process.err;
  EXPECT_THAT(run.process.out, HasSubstr("# gloo: the median time of Gloo "));
  EXPECT_THAT(run.process.out, HasSubstr("   gloo   ratio"));
}

TEST(PerfAgainst, GlooOnAnInterfaceThatIsNotThereIsAnError) {
  const PerfRun run = runPerf(with({"allreduce", "--transport", "inproc", "--ranks", "2", "--against", "gloo", "--json", "-"}), {},
                              {{"QCCL_INTERFACE", "nosuch0"}});
  EXPECT_NE(run.process.exitCode, 0);
  EXPECT_THAT(run.process.err, HasSubstr("QCCL_INTERFACE"));
}

TEST(PerfAgainst, WhatGlooCannotDoIsRefused) {
  expectRefused({"allreduce", "--against", "gloo", "--dtype", "bfloat16"}, "this Gloo has no bfloat16; compare float32 or float16");
  expectRefused({"allreduce", "--against", "gloo", "--op", "avg"}, "Gloo has no operation avg");
  expectRefused({"reducescatter", "--against", "gloo"}, "compare allreduce");
  expectRefused({"allreduce", "--against", "gloo", "--max", "2G"}, "keep --max below 2G");
}
#else
TEST(PerfAgainst, GlooWasNotBuilt) { expectRefused({"allreduce", "--against", "gloo"}, "was built without it; install libgloo-dev"); }
#endif

#if QCCL_PERF_MPI
#ifdef QCCL_MPIRUN
PerfRun underMpirun(const std::vector<std::string>& flags) {
  return runPerf(flags, {QCCL_MPIRUN, "--oversubscribe", "-n", "2"},
                 {{"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}});
}

TEST(PerfAgainst, MpiUnderMpirun) {
  expectCompared(underMpirun(with({"allreduce", "--codec", "int8", "--against", "mpi", "--json", "-"})), "mpi", 6);
}

// A type without arithmetic in MPI travels as bytes.
TEST(PerfAgainst, MpiHasTheOtherCollectives) {
  expectCompared(underMpirun(with({"broadcast", "--dtype", "bfloat16", "--against", "mpi", "--json", "-"})), "mpi", 6);
  expectCompared(underMpirun(with({"reduce", "--root", "1", "--against", "mpi", "--json", "-"})), "mpi", 6);
  expectCompared(underMpirun(with({"sendrecv", "--against", "mpi", "--json", "-"})), "mpi", 3);
}

TEST(PerfAgainst, MpiHasNoReduceScatterInOurPlace) {
  const PerfRun run = underMpirun(with({"reducescatter", "--against", "mpi", "--json", "-"}));
  ASSERT_EQ(run.process.exitCode, 0) << run.process.err;
  ASSERT_EQ(run.lines.size(), 6u);
  for (const json& line : run.lines) EXPECT_EQ(line.at("ratio").is_null(), line.at("in_place").get<bool>());
}

TEST(PerfAgainst, WhatMpiCannotDoIsRefused) {
  const PerfRun run = underMpirun({"allreduce", "--against", "mpi", "--dtype", "bfloat16"});
  EXPECT_NE(run.process.exitCode, 0);
  EXPECT_THAT(run.process.err, HasSubstr("MPI has no arithmetic for bfloat16"));
}
#endif

TEST(PerfAgainst, MpiWithoutMpirunIsRefused) {
  expectRefused({"allreduce", "--against", "mpi", "--ranks", "2"}, "mpirun -np 2 qccl-perf ... --against mpi");
}
#else
TEST(PerfAgainst, MpiWasNotBuilt) { expectRefused({"allreduce", "--against", "mpi"}, "was built without it; install libopenmpi-dev"); }
#endif

}  // namespace
}  // namespace qccl::test
