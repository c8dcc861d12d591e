// The tuning table through the C API: what it makes of calls, and that all ranks have the same one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "rank_threads.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::test {
namespace {

using testing::HasSubstr;

constexpr std::size_t kCount = 10000;

// QCCL_TUNING_TABLE, for as long as it lives.
class TuningSetting {
 public:
  explicit TuningSetting(const std::string& path) { set(path); }
  ~TuningSetting() { unsetenv("QCCL_TUNING_TABLE"); }
  TuningSetting(const TuningSetting&) = delete;
  TuningSetting& operator=(const TuningSetting&) = delete;
  static void set(const std::string& path) { setenv("QCCL_TUNING_TABLE", path.c_str(), 1); }
};

qcclPlan_t planOf(qcclComm_t comm, const qcclQuantConfig_t* quant = nullptr, qcclMemory_t memory = qcclMemoryHost,
                  qcclColl_t coll = qcclCollAllReduce) {
  qcclPlan_t plan{};
  QCCL_EXPECT_OK(qcclCommExplainIn(comm, memory, coll, kCount, qcclFloat32, qcclSum, quant, &plan));
  return plan;
}

void useInt8(qcclConfig_t& config) {
  config.quant.codec = qcclCodecInt8;
  config.quant.minBytes = 0;
}

std::uint64_t wireBytesOfLastCall(qcclComm_t comm) {
  qcclStats_t stats{};
  stats.size = sizeof stats;
  QCCL_EXPECT_OK(qcclCommGetLastCallStats(comm, &stats));
  return stats.wireBytes;
}

class Tuning : public testing::TestWithParam<const char*> {};

TEST_P(Tuning, ReplacesTheCommunicatorsCodecButNotThatOfACall) {
  const TemporaryFolder folder;
  const TuningSetting setting(folder.write("table",
                                           "qccl-tuning 1\n"
                                           "allreduce host oneHost 3 any float32 int8 max none ring tree\n"
                                           "reducescatter host oneHost 3 any float32 int8 max none direct ring\n"));
  const RankThreads ranks(GetParam(), 3, useInt8);
  qcclQuantConfig_t request = QCCL_QUANT_CONFIG_INITIALIZER;
  request.codec = qcclCodecInt8;
  qcclQuantConfig_t other = QCCL_QUANT_CONFIG_INITIALIZER;
  other.blockElems = 64;  // asks for no codec of its own
  ranks.run([&](int rank, qcclComm_t comm) {
    std::vector<float> x(3 * kCount, 1.25f * static_cast<float>(rank + 1));
    std::vector<float> y(3 * kCount);
    QCCL_EXPECT_OK(qcclAllReduce(x.data(), y.data(), kCount, qcclFloat32, qcclSum, comm, nullptr));
    EXPECT_EQ(y[kCount - 1], 7.5f);
    const qcclPlan_t exact = planOf(comm);
    EXPECT_EQ(exact.codec, qcclCodecNone);
    EXPECT_EQ(exact.algorithm, qcclAlgoRing);
    EXPECT_THAT(exact.reason, HasSubstr("measured fastest instead of int8"));
    EXPECT_EQ(wireBytesOfLastCall(comm), exact.wireBytes);
    EXPECT_EQ(planOf(comm, &other).codec, qcclCodecNone);
    QCCL_EXPECT_OK(qcclAllReduceEx(x.data(), y.data(), kCount, qcclFloat32, qcclSum, &request, comm, nullptr));
    const qcclPlan_t kept = planOf(comm, &request);
    EXPECT_EQ(kept.codec, qcclCodecInt8);
    EXPECT_EQ(kept.algorithm, qcclAlgoTree);
    EXPECT_EQ(wireBytesOfLastCall(comm), kept.wireBytes);
    QCCL_EXPECT_OK(qcclReduceScatterEx(x.data(), y.data(), kCount, qcclFloat32, qcclSum, &request, comm, nullptr));
    EXPECT_EQ(planOf(comm, &request, qcclMemoryHost, qcclCollReduceScatter).algorithm, qcclAlgoRing);
    EXPECT_NEAR(y[0], 7.5f, 0.1f);
    EXPECT_EQ(planOf(comm, nullptr, qcclMemoryHost, qcclCollReduceScatter).codec, qcclCodecNone);
    // The ranges of a map are codecs that the call itself asks for.
    const qcclPrecisionRange_t range{0, 100, qcclCodecNone};
    QCCL_EXPECT_OK(qcclAllReduceMapped(x.data(), y.data(), kCount, qcclFloat32, qcclSum, &range, 1, nullptr, comm, nullptr));
    EXPECT_LT(wireBytesOfLastCall(comm), exact.wireBytes);
  });
}

TEST_P(Tuning, ATableThatIsWrongIsRefusedWhenTheCommunicatorIsMade) {
  const TemporaryFolder folder;
  const TuningSetting setting(folder.write("table", "qccl-tuning 1\nallreduce host any 2 any float32 int8 1 none star -\n"));
  qcclConfig_t config = QCCL_CONFIG_INITIALIZER;
  config.transport = GetParam();
  qcclComm_t comms[2] = {};
  EXPECT_EQ(qcclCommInitAllConfig(comms, 2, nullptr, &config), qcclInvalidArgument);
  EXPECT_THAT(qcclGetLastError(nullptr), HasSubstr("table:2: algorithm star is not known"));
  EXPECT_EQ(comms[0], nullptr);
}

INSTANTIATE_TEST_SUITE_P(Transports, Tuning, testing::Values("inproc", "ucx"));

TEST(TuningOfRanks, IsThatOfRankZero) {
  const TemporaryFolder folder;
  const std::string tables[] = {
      folder.write("zero", "qccl-tuning 1\nallreduce host any 2 any any int8 max asked twoshot -\n"),
      folder.write("one", "qccl-tuning 1\nallreduce host any 2 any any int8 max none ring -\n"),
  };
  for (const bool bad : {false, true}) {
    qcclUniqueId id;
    QCCL_ASSERT_OK(qcclGetUniqueId(&id));
    qcclConfig_t config = QCCL_CONFIG_INITIALIZER;
    config.transport = "ucx";
    config.timeoutMs = kTestTimeoutMs;
    useInt8(config);
    qcclComm_t comms[2] = {};
    {
      const TuningSetting setting("");
      qcclGroupStart();
      for (int rank = 0; rank < 2; ++rank) {
        TuningSetting::set(bad && rank == 0 ? folder.path("none") : tables[rank]);
        QCCL_EXPECT_OK(qcclCommInitRankConfig(&comms[rank], 2, id, rank, &config));
      }
      EXPECT_EQ(qcclGroupEnd(), bad ? qcclInvalidArgument : qcclSuccess) << qcclGetLastError(nullptr);
    }
    if (bad) {
      EXPECT_THAT(qcclGetLastError(nullptr), HasSubstr("rank 0 has no tuning table: QCCL_TUNING_TABLE=" + folder.path("none")));
      EXPECT_EQ(comms[0], nullptr);
      EXPECT_EQ(comms[1], nullptr);
      continue;
    }
    for (const qcclComm_t comm : comms) {
      EXPECT_EQ(planOf(comm).algorithm, qcclAlgoTwoshot);
      EXPECT_EQ(planOf(comm).codec, qcclCodecInt8);
    }
    qcclGroupStart();
    std::vector<float> x(kCount, 1.0f);
    std::vector<float> y(kCount, 1.0f);
    QCCL_EXPECT_OK(qcclAllReduce(x.data(), x.data(), kCount, qcclFloat32, qcclSum, comms[0], nullptr));
    QCCL_EXPECT_OK(qcclAllReduce(y.data(), y.data(), kCount, qcclFloat32, qcclSum, comms[1], nullptr));
    QCCL_EXPECT_OK(qcclGroupEnd());
    EXPECT_EQ(x, y);
    qcclGroupStart();
    for (const qcclComm_t comm : comms) qcclCommDestroy(comm);
    qcclGroupEnd();
  }
}

TEST(TuningKey, IsWhatRowsAreFoundBy) {
  const RankThreads ranks("inproc", 4, [](qcclConfig_t& config) { config.quant.ranksPerHost = 2; });
  const RankThreads together("inproc", 4);
  qcclTuningKey_t key{};
  QCCL_EXPECT_OK(qcclCommGetTuningKey(ranks.comm(0), qcclMemoryHost, &key));
  EXPECT_STREQ(key.path, "severalHosts");
  EXPECT_EQ(key.ranks, 4);
  EXPECT_EQ(key.ranksPerHost, 2);
  QCCL_EXPECT_OK(qcclCommGetTuningKey(together.comm(0), qcclMemoryHost, &key));
  EXPECT_STREQ(key.path, "oneHost");
  EXPECT_EQ(key.ranksPerHost, 4);
  QCCL_EXPECT_OK(qcclCommGetTuningKey(together.comm(0), qcclMemoryCuda, &key));
  EXPECT_STREQ(key.path, "peer");
}

TEST(TuningTable, IsReadWithoutACommunicator) {
  const TemporaryFolder folder;
  const char* text = nullptr;
  QCCL_EXPECT_OK(qcclGetTuningTable("", &text));
  const std::string builtIn = text;
  EXPECT_THAT(builtIn, testing::StartsWith("qccl-tuning 1\nallreduce "));
  const std::string row = "allreduce host any 7 any float32 int8 123 none ring tree\n";
  const std::string path = folder.write("table", "qccl-tuning 1 # mine\n" + row);
  QCCL_EXPECT_OK(qcclGetTuningTable(path.c_str(), &text));
  EXPECT_EQ(text, "qccl-tuning 1\n" + row + builtIn.substr(builtIn.find('\n') + 1));
  const TuningSetting setting(path);
  QCCL_EXPECT_OK(qcclGetTuningTable(nullptr, &text));
  EXPECT_THAT(text, HasSubstr(row));
  EXPECT_EQ(qcclGetTuningTable(folder.path("none").c_str(), &text), qcclInvalidArgument);
}

}  // namespace
}  // namespace qccl::test
