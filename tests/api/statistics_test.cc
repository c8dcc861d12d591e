// The account that a communicator gives: inspection of quantized calls against exact sums, and the figures of the last call.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

#include "quant/reference.hpp"
#include "rank_threads.hpp"
#include "values.hpp"

namespace qccl::test {
namespace {

constexpr std::size_t kSampleElems = 4096;
// Of a noise power estimated from kSampleElems: about four standard deviations.
constexpr double kSampleToleranceDb = 0.5;

std::vector<char> gaussian(qcclDataType_t dtype, std::size_t count, int rank) {
  const std::vector<float> values = normalValues(count, rank);
  std::vector<char> x(count * qcclTypeSize(dtype));
  for (std::size_t i = 0; i < count; ++i) quant::storeElem(dtype, x.data(), i, values[i]);
  return x;
}

qcclStats_t statsOf(qcclComm_t comm, qcclResult_t (*get)(qcclComm_t, qcclStats_t*)) {
  qcclStats_t stats{};
  stats.size = sizeof(stats);
  QCCL_EXPECT_OK(get(comm, &stats));
  EXPECT_EQ(stats.size, sizeof(stats));
  return stats;
}
qcclStats_t total(qcclComm_t comm) { return statsOf(comm, qcclCommGetStats); }
qcclStats_t lastCall(qcclComm_t comm) { return statsOf(comm, qcclCommGetLastCallStats); }

qcclQuantConfig_t inspected(int algorithm, int every = 1) {
  qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
  quant.codec = qcclCodecInt8;
  quant.algorithm = algorithm;
  quant.minBytes = 0;
  quant.inspectEvery = every;
  return quant;
}

// Signal and noise energy of elements [first, first + count of result) against the exact sum (or average) of gaussian().
double snrOf(qcclDataType_t dtype, const char* result, std::size_t first, std::size_t count, std::size_t elems, int size, bool average) {
  double signal = 0;
  double noise = 0;
  std::vector<double> exact(count);
  for (int rank = 0; rank < size; ++rank) {
    const std::vector<char> x = gaussian(dtype, elems, rank);
    for (std::size_t i = 0; i < count; ++i) exact[i] += static_cast<double>(quant::loadElem(dtype, x.data(), first + i));
  }
  for (std::size_t i = 0; i < count; ++i) {
    const double value = average ? exact[i] / size : exact[i];
    const double error = static_cast<double>(quant::loadElem(dtype, result, i)) - value;
    signal += value * value;
    noise += error * error;
  }
  return 10 * std::log10(signal / noise);
}

class Inspection : public testing::TestWithParam<std::tuple<const char*, int>> {
 protected:
  const char* transport() const { return std::get<0>(GetParam()); }
  int algorithm() const { return std::get<1>(GetParam()); }
};

TEST_P(Inspection, MeasuresTheSignalToNoiseRatioOfAllReduce) {
  const int size = 4;
  const RankThreads ranks(transport(), size);
  const qcclQuantConfig_t quant = inspected(algorithm());
  for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
    for (const auto& [count, op] : {std::pair{std::size_t{3000}, qcclSum}, {std::size_t{200003}, qcclSum}, {std::size_t{70001}, qcclAvg}}) {
      for (const bool inPlace : {false, true}) {
        std::vector<qcclStats_t> stats(static_cast<std::size_t>(size));
        std::vector<char> result;
        ranks.run([&, count = count, op = op](int rank, qcclComm_t comm) {
          std::vector<char> in = gaussian(dtype, count, rank);
          std::vector<char> out(in.size());
          QCCL_ASSERT_OK(qcclAllReduceEx(in.data(), inPlace ? in.data() : out.data(), count, dtype, op, &quant, comm, nullptr));
          stats[static_cast<std::size_t>(rank)] = lastCall(comm);
          if (rank == 0) result = inPlace ? in : out;
        });
        const double snrDb = snrOf(dtype, result.data(), 0, count, count, size, op == qcclAvg);
        for (const qcclStats_t& each : stats) {
          EXPECT_EQ(each.inspectedCalls, 1u);
          EXPECT_EQ(each.inspectedElems, std::min(count, kSampleElems));
          EXPECT_NEAR(each.snrDb, snrDb, count <= kSampleElems ? 1e-3 : kSampleToleranceDb) << count;
          // The same sample and the same sums everywhere.
          EXPECT_EQ(each.signalEnergy, stats[0].signalEnergy);
          EXPECT_EQ(each.noiseEnergy, stats[0].noiseEnergy);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Inspection,
    testing::Combine(testing::Values("inproc", "ucx"),
                     testing::Values(static_cast<int>(qcclAlgoOneshot), static_cast<int>(qcclAlgoTwoshot), static_cast<int>(qcclAlgoRing),
                                     static_cast<int>(qcclAlgoTree), static_cast<int>(qcclAlgoHier))),
    [](const auto& test) { return std::string(std::get<0>(test.param)) + "_" + qcclEnumName(qcclEnumAlgo, std::get<1>(test.param)); });

TEST(InspectionOfReduceScatter, ComparesTheOwnChunk) {
  const int size = 3;
  const std::size_t count = 1200;  // so that the sample is everything
  const std::size_t elems = count * static_cast<std::size_t>(size);
  const RankThreads ranks("inproc", size, [](qcclConfig_t& config) { config.quant = inspected(qcclAlgoAuto); });
  ranks.run([&](int rank, qcclComm_t comm) {
    for (const bool inPlace : {false, true}) {
      std::vector<char> in = gaussian(qcclFloat32, elems, rank);
      const std::size_t first = static_cast<std::size_t>(rank) * count;
      std::vector<char> other(count * 4);
      char* out = inPlace ? in.data() + first * 4 : other.data();
      QCCL_ASSERT_OK(qcclReduceScatter(in.data(), out, count, qcclFloat32, qcclSum, comm, nullptr));
      const qcclStats_t stats = lastCall(comm);
      EXPECT_EQ(stats.inspectedElems, count);
      EXPECT_EQ(stats.quantizedElems, elems);
      EXPECT_NEAR(stats.snrDb, snrOf(qcclFloat32, out, first, count, elems, size, false), 1e-3);
    }
  });
}

TEST(InspectEvery, CountsQuantizedCallsOnly) {
  const RankThreads ranks("inproc", 2, [](qcclConfig_t& config) { config.quant = inspected(qcclAlgoAuto, 3); });
  ranks.run([](int rank, qcclComm_t comm) {
    std::vector<float> x(5000, 1.0f);
    std::vector<int> whole(5000, 1);
    for (int call = 1; call <= 10; ++call) {
      QCCL_ASSERT_OK(qcclAllReduce(x.data(), x.data(), x.size(), qcclFloat32, qcclAvg, comm, nullptr));
      EXPECT_EQ(lastCall(comm).inspectedCalls, call % 3 == 0 ? 1u : 0u) << call;
      QCCL_ASSERT_OK(qcclAllReduce(whole.data(), whole.data(), whole.size(), qcclInt32, qcclMax, comm, nullptr));
      EXPECT_EQ(lastCall(comm).inspectedCalls, 0u) << call;
    }
    EXPECT_EQ(total(comm).inspectedCalls, 3u);
    EXPECT_EQ(total(comm).quantizedCalls, 10u);
    EXPECT_EQ(total(comm).calls, 20u) << "inspection is not a call of its own";
    // And by request of one call.
    const qcclQuantConfig_t now = inspected(qcclAlgoAuto, 1);
    QCCL_ASSERT_OK(qcclAllReduceEx(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, &now, comm, nullptr));
    EXPECT_EQ(lastCall(comm).inspectedCalls, 1u) << rank;
  });
}

TEST(InspectEvery, ChangesNoResult) {
  std::vector<std::vector<float>> results;
  for (const int every : {0, 1, 2}) {
    const RankThreads ranks("inproc", 3);
    ranks.run([&](int rank, qcclComm_t comm) {
      qcclQuantConfig_t quant = inspected(qcclAlgoTwoshot, every);
      quant.rounding = qcclRoundStochastic;
      std::vector<float> x(20000);
      for (int call = 0; call < 4; ++call) {
        const std::vector<char> bytes = gaussian(qcclFloat32, x.size(), rank + 10 * call);
        std::memcpy(x.data(), bytes.data(), bytes.size());
        QCCL_ASSERT_OK(qcclAllReduceEx(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, &quant, comm, nullptr));
      }
      if (rank == 1) results.push_back(x);
    });
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(InspectEvery, WorksOnMessagesOfFewElements) {
  const RankThreads ranks("inproc", 3, [](qcclConfig_t& config) { config.quant = inspected(qcclAlgoTwoshot); });
  ranks.run([](int rank, qcclComm_t comm) {
    for (const std::size_t count : {0, 1, 2, 5}) {
      std::vector<float> x(count, static_cast<float>(rank + 1));
      QCCL_ASSERT_OK(qcclAllReduce(x.data(), x.data(), count, qcclFloat32, qcclSum, comm, nullptr));
      EXPECT_EQ(lastCall(comm).inspectedElems, count);
      EXPECT_EQ(lastCall(comm).signalEnergy, 36.0 * static_cast<double>(count));
    }
  });
}

TEST(InspectEvery, LeavesNonFiniteElementsOut) {
  const RankThreads ranks("inproc", 2);
  ranks.run([](int rank, qcclComm_t comm) {
    const qcclQuantConfig_t quant = inspected(qcclAlgoAuto);
    const std::vector<char> bytes = gaussian(qcclFloat32, 4096, rank);
    std::vector<float> x(4096);
    std::memcpy(x.data(), bytes.data(), bytes.size());
    if (rank == 1) x[300] = std::numeric_limits<float>::infinity();
    QCCL_ASSERT_OK(qcclAllReduceEx(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, &quant, comm, nullptr));
    const qcclStats_t stats = lastCall(comm);
    EXPECT_EQ(stats.inspectedElems, 4096u - 256u);
    EXPECT_EQ(stats.nonFiniteBlocks, rank == 1 ? 1u : 0u);
    EXPECT_GT(stats.snrDb, 35);
    EXPECT_LT(stats.snrDb, 60);
  });
}

TEST(LastCall, HasTheFiguresOfOneCall) {
  const RankThreads ranks("inproc", 2);
  ranks.run([](int rank, qcclComm_t comm) {
    EXPECT_EQ(lastCall(comm).calls, 0u);
    EXPECT_TRUE(std::isnan(lastCall(comm).snrDb));
    EXPECT_TRUE(std::isnan(total(comm).snrDb));
    std::vector<float> x(1 << 16, 1.0f);
    const qcclQuantConfig_t quant = inspected(qcclAlgoOneshot, 0);
    for (int call = 0; call < 2; ++call) {
      QCCL_ASSERT_OK(qcclAllReduceEx(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, &quant, comm, nullptr));
    }
    const qcclStats_t coded = lastCall(comm);
    EXPECT_EQ(coded.calls, 1u);
    EXPECT_EQ(coded.quantizedElems, x.size());
    EXPECT_EQ(coded.encodedBlocks, x.size() / 256);
    EXPECT_EQ(coded.exactWireBytes, x.size() * 4);
    EXPECT_EQ(total(comm).wireBytes, 2 * coded.wireBytes);
    QCCL_ASSERT_OK(qcclAllReduce(x.data(), x.data(), 1000, qcclFloat32, qcclSum, comm, nullptr));
    EXPECT_EQ(lastCall(comm).quantizedCalls, 0u);
    EXPECT_EQ(lastCall(comm).elems, 1000u);
    EXPECT_EQ(lastCall(comm).wireBytes, 4000u);
    QCCL_ASSERT_OK(rank == 0 ? qcclSend(x.data(), 10, qcclFloat32, 1, comm, nullptr)
                             : qcclRecv(x.data(), 10, qcclFloat32, 0, comm, nullptr));
    EXPECT_EQ(lastCall(comm).calls, 1u);
    EXPECT_EQ(lastCall(comm).wireBytes, rank == 0 ? 40u : 0u);
    EXPECT_EQ(total(comm).calls, 4u);
  });
}

TEST(Losses, AreCountedInOneBlockOf64) {
  const RankThreads ranks("inproc", 2);
  ranks.run([](int rank, qcclComm_t comm) {
    // Blocks 0, 64 and 128 are looked at. In each block of rank 1 one value is so large that the others become zero.
    const std::size_t blocks = 130;
    std::vector<float> x(256 * blocks, 1e-4f);
    if (rank == 1) {
      for (std::size_t block = 0; block < blocks; ++block) x[256 * block + 7] = 1.0f;
    }
    x[9] = 0.0f;  // is no loss
    const qcclQuantConfig_t quant = inspected(qcclAlgoOneshot, 0);
    QCCL_ASSERT_OK(qcclAllReduceEx(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, &quant, comm, nullptr));
    const qcclStats_t stats = lastCall(comm);
    EXPECT_EQ(stats.encodedBlocks, blocks);
    EXPECT_EQ(stats.sampledElems, 3u * 256);
    EXPECT_EQ(stats.flushedElems, rank == 1 ? 3u * 255 - 1 : 0u);
    EXPECT_EQ(stats.saturatedElems, 0u);
  });
}

TEST(Losses, CountWhatIsBeyondTheLargestCode) {
  const RankThreads ranks("inproc", 2);
  ranks.run([](int rank, qcclComm_t comm) {
    std::vector<float> x(256, 1.0f);
    if (rank == 1) x[3] = x[200] = std::numeric_limits<float>::max();  // rounds to an infinity in BF16
    qcclQuantConfig_t quant = inspected(qcclAlgoOneshot, 0);
    quant.codec = qcclCodecBf16;
    QCCL_ASSERT_OK(qcclAllReduceEx(x.data(), x.data(), x.size(), qcclFloat32, qcclSum, &quant, comm, nullptr));
    EXPECT_EQ(lastCall(comm).saturatedElems, rank == 1 ? 2u : 0u);
    EXPECT_EQ(lastCall(comm).flushedElems, 0u);
  });
}

TEST(Statistics, FillStructsOfOlderPrograms) {
  const RankThreads ranks("inproc", 1);
  float x = 1;
  QCCL_EXPECT_OK(qcclAllReduce(&x, &x, 1, qcclFloat32, qcclSum, ranks.comm(0), nullptr));
  for (const auto get : {qcclCommGetStats, qcclCommGetLastCallStats}) {
    qcclStats_t stats{};
    stats.size = offsetof(qcclStats_t, elems);
    stats.elems = 77;  // not theirs
    QCCL_EXPECT_OK(get(ranks.comm(0), &stats));
    EXPECT_EQ(stats.size, offsetof(qcclStats_t, elems));
    EXPECT_EQ(stats.calls, 1u);
    EXPECT_EQ(stats.elems, 77u);
    stats.size = 0;
    EXPECT_EQ(get(ranks.comm(0), &stats), qcclInvalidArgument);
    EXPECT_EQ(get(ranks.comm(0), nullptr), qcclInvalidArgument);
  }
}

}  // namespace
}  // namespace qccl::test
