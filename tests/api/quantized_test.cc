// What the quantized all-reduce and reduce-scatter promise: error within the bound, the same bits on every rank, in every run, on every
// transport and with every tile size, relative precision at any magnitude, non-finite blocks that stay visible and alone.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <tuple>

#include "quant/reference.hpp"
#include "rank_threads.hpp"
#include "values.hpp"

namespace qccl::test {
namespace {

// Beside the bound of quantization: the FP32 additions (one rounding of 2^-24 each, of at most the sum of magnitudes; W is at most 8 here).
constexpr double kAdditionTolerance = 16 * 0x1p-24;
// And the rounding of the result to its type.
double typeTolerance(qcclDataType_t dtype) { return dtype == qcclFloat32 ? 0 : dtype == qcclBfloat16 ? 0x1p-8 : 0x1p-11; }

enum class Data { normal, heavyTailed, tiny, huge, mixedMagnitudes };

// The values of one rank, of the type, as FP32: what the library gets, exactly.
std::vector<char> makeInput(qcclDataType_t dtype, std::size_t count, int rank, Data data) {
  const std::vector<float> values = normalValues(count, 1000 * rank + static_cast<int>(data));
  std::vector<char> buffer(count * qcclTypeSize(dtype));
  for (std::size_t i = 0; i < count; ++i) {
    float x = values[i];
    switch (data) {
      case Data::normal:
        break;
      case Data::heavyTailed:
        x = x * x * x * x * x;
        break;
      case Data::tiny:
        x *= dtype == qcclFloat16 ? 1e-4f : 1e-38f;
        break;
      case Data::huge:
        x *= dtype == qcclFloat16 ? 100.0f : 1e36f;
        break;
      case Data::mixedMagnitudes:
        x *= std::ldexp(1.0f, static_cast<int>(i / 256 % 24) - 12);
        break;
    }
    if (dtype == qcclFloat16) x = std::max(-6000.0f, std::min(6000.0f, x));  // so that the sum of 8 ranks stays finite
    quant::storeElem(dtype, buffer.data(), i, x);
  }
  return buffer;
}

struct Scenario {
  int algorithm;
  qcclDataType_t dtype = qcclFloat32;
  int block = 256;
  std::size_t count = 20011;
  Data data = Data::normal;
  qcclRedOp_t op = qcclSum;
  int rounding = qcclRoundNearest;
  bool inPlace = false;
  int ranksPerHost = 0;

  qcclQuantConfig_t config() const {
    qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
    quant.codec = qcclCodecInt8;
    quant.blockElems = block;
    quant.algorithm = algorithm;
    quant.rounding = rounding;
    quant.seed = 7;
    quant.minBytes = 0;
    quant.ranksPerHost = ranksPerHost;
    return quant;
  }
};

// Runs one all-reduce and returns every rank's result.
std::vector<std::vector<char>> allReduce(const RankThreads& ranks, const Scenario& scenario) {
  std::vector<std::vector<char>> results(static_cast<std::size_t>(ranks.size()));
  ranks.run([&](int rank, qcclComm_t comm) {
    std::vector<char> in = makeInput(scenario.dtype, scenario.count, rank, scenario.data);
    std::vector<char> out(in.size(), 0x5a);
    const qcclQuantConfig_t quant = scenario.config();
    QCCL_ASSERT_OK(qcclAllReduceEx(in.data(), scenario.inPlace ? in.data() : out.data(), scenario.count, scenario.dtype, scenario.op,
                                   &quant, comm, nullptr));
    results[static_cast<std::size_t>(rank)] = scenario.inPlace ? in : out;
  });
  return results;
}

void expectWithinBound(const Scenario& scenario, int size, const std::vector<char>& result) {
  std::vector<std::vector<char>> inputs;
  for (int rank = 0; rank < size; ++rank) inputs.push_back(makeInput(scenario.dtype, scenario.count, rank, scenario.data));
  double factor = 0;
  QCCL_ASSERT_OK(qcclGetErrorBound(static_cast<qcclAlgo_t>(scenario.algorithm), qcclCodecInt8, qcclScaleFloat32,
                                   static_cast<qcclRounding_t>(scenario.rounding), size, &factor));
  const auto block = static_cast<std::size_t>(scenario.block);
  const double divisor = scenario.op == qcclAvg ? size : 1;
  double worst = 0;
  for (std::size_t first = 0; first < scenario.count; first += block) {
    const std::size_t end = std::min(first + block, scenario.count);
    double magnitudes = 0;
    for (const auto& input : inputs) {
      double most = 0;
      for (std::size_t i = first; i < end; ++i)
        most = std::max(most, std::fabs(static_cast<double>(quant::loadElem(scenario.dtype, input.data(), i))));
      magnitudes += most;
    }
    for (std::size_t i = first; i < end; ++i) {
      double exact = 0;
      for (const auto& input : inputs) exact += static_cast<double>(quant::loadElem(scenario.dtype, input.data(), i));
      exact /= divisor;
      const double got = static_cast<double>(quant::loadElem(scenario.dtype, result.data(), i));
      const double bound = (factor + kAdditionTolerance) * magnitudes / divisor + typeTolerance(scenario.dtype) * std::fabs(got) +
                           (scenario.dtype == qcclFloat16 ? 0x1p-24 : 0x1p-133 * (scenario.dtype == qcclFloat32 ? 0x1p-14 : 1));
      ASSERT_TRUE(std::isfinite(got)) << i;
      ASSERT_LE(std::fabs(got - exact), bound) << "element " << i << " of " << scenario.count << ", exact " << exact << ", got " << got;
      worst = std::max(worst, std::fabs(got - exact) / bound);
    }
  }
  // A bound that nothing comes near would prove nothing.
  if (scenario.count > 1000) {
    EXPECT_GT(worst, 0.02);
  }
}

// Transport, ranks, algorithm, ranks per host.
using QuantizedParam = std::tuple<const char*, int, int, int>;

class Quantized : public testing::TestWithParam<QuantizedParam> {
 protected:
  const char* transport() const { return std::get<0>(GetParam()); }
  int size() const { return std::get<1>(GetParam()); }
  Scenario baseScenario() const {
    Scenario scenario{std::get<2>(GetParam())};
    scenario.ranksPerHost = std::get<3>(GetParam());
    return scenario;
  }

  void check(const RankThreads& ranks, const Scenario& scenario) {
    SCOPED_TRACE(std::string(qcclEnumName(qcclEnumDataType, scenario.dtype)) + " block " + std::to_string(scenario.block) + " count " +
                 std::to_string(scenario.count) + " data " + std::to_string(static_cast<int>(scenario.data)) + " " +
                 qcclEnumName(qcclEnumRounding, scenario.rounding));
    const auto results = allReduce(ranks, scenario);
    for (const auto& result : results) ASSERT_EQ(hashOf(result), hashOf(results[0])) << "ranks differ";
    expectWithinBound(scenario, size(), results[0]);
  }
};

TEST_P(Quantized, ErrorIsWithinTheBoundForEveryTypeBlockAndCount) {
  const RankThreads ranks(transport(), size());
  Scenario scenario = baseScenario();
  for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
    scenario.dtype = dtype;
    for (const Data data : {Data::normal, Data::heavyTailed, Data::tiny, Data::huge, Data::mixedMagnitudes}) {
      scenario.data = data;
      check(ranks, scenario);
    }
  }
  scenario = baseScenario();
  for (const int block : {32, 64, 512, 4096}) {
    scenario.block = block;
    check(ranks, scenario);
  }
  scenario.block = 256;
  for (const std::size_t count : {1, 2, 3, 31, 255, 256, 257, 4095, 4096, 4097, 70001}) {
    scenario.count = count;
    check(ranks, scenario);
  }
  scenario.count = 20011;
  scenario.op = qcclAvg;
  scenario.inPlace = true;
  check(ranks, scenario);
}

TEST_P(Quantized, StochasticRoundingKeepsItsBoundAndIsRepeatable) {
  Scenario scenario = baseScenario();
  scenario.rounding = qcclRoundStochastic;
  std::vector<std::uint64_t> hashes;
  for (int run = 0; run < 2; ++run) {
    const RankThreads ranks(transport(), size());
    check(ranks, scenario);
    hashes.push_back(hashOf(allReduce(ranks, scenario)[0]));
  }
  EXPECT_EQ(hashes[0], hashes[1]) << "the same call of a new communicator gave other bits";
}

TEST_P(Quantized, ResultsDoNotDependOnTilesRunsOrPlace) {
  Scenario scenario = baseScenario();
  scenario.count = 100003;
  std::map<std::string, std::uint64_t> hashes;
  for (const char* tile : {"4K", "64K", "1M"}) {
    for (const char* inFlight : {"1", "7"}) {
      for (const int rounding : {qcclRoundNearest, qcclRoundStochastic}) {
        scenario.rounding = rounding;
        setenv("QCCL_TILE_BYTES", tile, 1);
        setenv("QCCL_TILES_IN_FLIGHT", inFlight, 1);
        const RankThreads ranks(transport(), size());
        unsetenv("QCCL_TILE_BYTES");
        unsetenv("QCCL_TILES_IN_FLIGHT");
        for (const bool inPlace : {false, true}) {
          scenario.inPlace = inPlace;
          if (rounding == qcclRoundStochastic && inPlace) continue;  // a second call has noise of its own
          const auto results = allReduce(ranks, scenario);
          const auto [at, isNew] = hashes.emplace(qcclEnumName(qcclEnumRounding, rounding), hashOf(results[0]));
          for (const auto& result : results) ASSERT_EQ(hashOf(result), at->second) << tile << " " << inFlight << " " << inPlace;
        }
      }
    }
  }
}

TEST_P(Quantized, NonFiniteValuesMakeTheirBlockNonFiniteOnEveryRankAndNoOther) {
  const RankThreads ranks(transport(), size());
  const std::size_t count = 5000;
  const std::size_t block = 256;
  for (const float poison :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    for (int victim = 0; victim < size(); ++victim) {
      for (const std::size_t at : {std::size_t{0}, std::size_t{700}, count - 1}) {
        std::vector<std::uint64_t> counted(static_cast<std::size_t>(size()));
        ranks.run([&](int rank, qcclComm_t comm) {
          Scenario scenario = baseScenario();
          const qcclQuantConfig_t quant = scenario.config();
          std::vector<char> bytes = makeInput(qcclFloat32, count, rank, Data::normal);
          if (rank == victim) std::memcpy(bytes.data() + 4 * at, &poison, 4);
          qcclStats_t before{};
          qcclStats_t after{};
          before.size = after.size = sizeof(qcclStats_t);
          QCCL_ASSERT_OK(qcclCommGetStats(comm, &before));
          QCCL_ASSERT_OK(qcclAllReduceEx(bytes.data(), bytes.data(), count, qcclFloat32, qcclSum, &quant, comm, nullptr));
          QCCL_ASSERT_OK(qcclCommGetStats(comm, &after));
          counted[static_cast<std::size_t>(rank)] = after.nonFiniteBlocks - before.nonFiniteBlocks;
          for (std::size_t i = 0; i < count; ++i) {
            const float x = quant::loadElem(qcclFloat32, bytes.data(), i);
            ASSERT_EQ(std::isfinite(x), i / block != at / block) << i;
          }
        });
        std::uint64_t total = 0;
        for (const std::uint64_t n : counted) total += n;
        EXPECT_GE(total, 1u);
      }
    }
  }
}

TEST_P(Quantized, BackToBackCallsOfDifferentSizesDoNotMix) {
  const RankThreads ranks(transport(), size());
  ranks.run([&](int rank, qcclComm_t comm) {
    const qcclQuantConfig_t quant = baseScenario().config();
    for (int call = 0; call < 40; ++call) {
      const std::size_t count = static_cast<std::size_t>(1 + call * 977 % 5000);
      // Whole multiples of the same number: codes, sums and scales are exact.
      std::vector<float> x(count, static_cast<float>((rank + 1) * (call + 1)));
      QCCL_ASSERT_OK(qcclAllReduceEx(x.data(), x.data(), count, qcclFloat32, qcclSum, &quant, comm, nullptr));
      const float expected = static_cast<float>((call + 1) * size() * (size() + 1) / 2);
      for (const float value : x) ASSERT_NEAR(value, expected, expected * 1e-5f);
    }
  });
}

std::string nameOf(const testing::TestParamInfo<QuantizedParam>& info) {
  const int ranksPerHost = std::get<3>(info.param);
  return std::string(std::get<0>(info.param)) + "_W" + std::to_string(std::get<1>(info.param)) + "_" +
         qcclEnumName(qcclEnumAlgo, std::get<2>(info.param)) + (ranksPerHost > 0 ? "_" + std::to_string(ranksPerHost) + "PerHost" : "");
}

INSTANTIATE_TEST_SUITE_P(All, Quantized,
                         testing::Combine(testing::Values("inproc", "ucx"), testing::Values(2, 3, 4, 5, 8),
                                          testing::Values(static_cast<int>(qcclAlgoOneshot), static_cast<int>(qcclAlgoTwoshot),
                                                          static_cast<int>(qcclAlgoRing), static_cast<int>(qcclAlgoTree)),
                                          testing::Values(0)),
                         nameOf);
INSTANTIATE_TEST_SUITE_P(Hosts, Quantized,
                         testing::Values(QuantizedParam{"inproc", 4, qcclAlgoHier, 2}, QuantizedParam{"inproc", 6, qcclAlgoHier, 2},
                                         QuantizedParam{"inproc", 6, qcclAlgoHier, 3}, QuantizedParam{"inproc", 8, qcclAlgoHier, 2},
                                         QuantizedParam{"inproc", 8, qcclAlgoHier, 4}, QuantizedParam{"inproc", 5, qcclAlgoHier, 0},
                                         QuantizedParam{"ucx", 4, qcclAlgoHier, 2}, QuantizedParam{"ucx", 6, qcclAlgoHier, 3},
                                         QuantizedParam{"ucx", 8, qcclAlgoHier, 4}),
                         nameOf);

TEST(QuantizedAcrossTransports, GivesTheSameBits) {
  for (const int size : {2, 3, 5, 8}) {
    const RankThreads inproc("inproc", size);
    const RankThreads ucx("ucx", size);
    for (int algorithm = qcclAlgoOneshot; algorithm < qcclAlgoNccl; ++algorithm) {
      for (const int rounding : {qcclRoundNearest, qcclRoundStochastic}) {
        for (const qcclDataType_t dtype : {qcclFloat32, qcclBfloat16, qcclFloat16}) {
          Scenario scenario{algorithm, dtype};
          scenario.rounding = rounding;
          scenario.ranksPerHost = size % 2 == 0 ? size / 2 : 1;
          EXPECT_EQ(hashOf(allReduce(inproc, scenario)[0]), hashOf(allReduce(ucx, scenario)[0]));
        }
      }
    }
  }
}

TEST(QuantizedReduceScatter, IsWithinItsBoundWithBothSchedules) {
  for (const int size : {2, 3, 5}) {
    for (const int algorithm : {static_cast<int>(qcclAlgoAuto), static_cast<int>(qcclAlgoRing)}) {
      const RankThreads ranks("inproc", size, [&](qcclConfig_t& config) {
        config.quant.codec = qcclCodecInt8;
        config.quant.algorithm = algorithm;
        config.quant.minBytes = 0;
      });
      const std::size_t count = 3001;
      ranks.run([&](int rank, qcclComm_t comm) {
        const std::size_t total = count * static_cast<std::size_t>(size);
        const std::vector<char> in = makeInput(qcclFloat32, total, rank, Data::normal);
        std::vector<float> out(count);
        QCCL_ASSERT_OK(qcclReduceScatter(in.data(), out.data(), count, qcclFloat32, qcclSum, comm, nullptr));
        qcclPlan_t plan;
        QCCL_ASSERT_OK(qcclCommExplain(comm, qcclCollReduceScatter, count, qcclFloat32, qcclSum, nullptr, &plan));
        ASSERT_EQ(plan.codec, qcclCodecInt8) << plan.reason;
        std::vector<std::vector<char>> inputs;
        for (int r = 0; r < size; ++r) inputs.push_back(makeInput(qcclFloat32, total, r, Data::normal));
        double worst = 0;
        for (std::size_t i = 0; i < count; ++i) {
          const std::size_t blockFirst = i / 256 * 256;
          double exact = 0;
          double magnitudes = 0;
          for (const auto& input : inputs) {
            const std::size_t base = static_cast<std::size_t>(rank) * count;
            exact += static_cast<double>(quant::loadElem(qcclFloat32, input.data(), base + i));
            double most = 0;
            for (std::size_t k = blockFirst; k < std::min(blockFirst + 256, count); ++k) {
              most = std::max(most, std::fabs(static_cast<double>(quant::loadElem(qcclFloat32, input.data(), base + k))));
            }
            magnitudes += most;
          }
          const double error = std::fabs(static_cast<double>(out[i]) - exact);
          ASSERT_LE(error, (plan.errorBound + kAdditionTolerance) * magnitudes) << i;
          worst = std::max(worst, error / (plan.errorBound * magnitudes));
        }
        EXPECT_GT(worst, 0.1);
      });
    }
  }
}

TEST(QuantizedStatistics, SayWhatWasSent) {
  for (const int size : {2, 4}) {
    for (int algorithm = qcclAlgoOneshot; algorithm < qcclAlgoNccl; ++algorithm) {
      const RankThreads ranks("inproc", size);
      ranks.run([&](int, qcclComm_t comm) {
        const std::size_t count = std::size_t{1} << 18;
        qcclQuantConfig_t quant = Scenario{algorithm}.config();
        quant.ranksPerHost = 2;
        std::vector<float> x(count, 1.0f);
        qcclPlan_t plan;
        QCCL_ASSERT_OK(qcclCommExplain(comm, qcclCollAllReduce, count, qcclFloat32, qcclSum, &quant, &plan));
        QCCL_ASSERT_OK(qcclAllReduceEx(x.data(), x.data(), count, qcclFloat32, qcclSum, &quant, comm, nullptr));
        qcclStats_t stats{};
        stats.size = sizeof(stats);
        QCCL_ASSERT_OK(qcclCommGetStats(comm, &stats));
        EXPECT_EQ(stats.calls, 1u);
        EXPECT_EQ(stats.quantizedCalls, 1u);
        EXPECT_EQ(stats.quantizedElems, count);
        EXPECT_EQ(stats.wireBytes, plan.wireBytes);
        EXPECT_EQ(stats.exactWireBytes, plan.exactWireBytes);
        EXPECT_LE(static_cast<double>(stats.wireBytes), 0.26 * static_cast<double>(stats.exactWireBytes));
        if (algorithm == qcclAlgoTwoshot || algorithm == qcclAlgoRing || algorithm == qcclAlgoHier) {
          EXPECT_EQ(stats.exactWireBytes, 2 * (static_cast<std::uint64_t>(size) - 1) * count * 4 / static_cast<std::uint64_t>(size));
        }
        if (algorithm == qcclAlgoOneshot) {
          EXPECT_EQ(stats.exactWireBytes, (static_cast<std::uint64_t>(size) - 1) * count * 4);
        }
      });
    }
  }
}

}  // namespace
}  // namespace qccl::test
