// Precision maps: parts of one message with a codec of their own. And error feedback: what codes lose is carried to the next call.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>

#include "rank_threads.hpp"
#include "values.hpp"

namespace qccl::test {
namespace {

constexpr double kAdditionTolerance = 16 * 0x1p-24;
constexpr std::size_t kBlock = 64;

using Ranges = std::vector<qcclPrecisionRange_t>;

qcclQuantConfig_t quantConfig(int codec, int algorithm) {
  qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
  quant.codec = codec;
  quant.algorithm = algorithm;
  quant.blockElems = kBlock;
  quant.minBytes = 0;
  quant.ranksPerHost = 1;
  return quant;
}

int codecAt(const Ranges& ranges, std::size_t elem, int otherwise) {
  for (const auto& range : ranges) {
    if (elem >= range.firstElem && elem - range.firstElem < range.elems) return range.codec;
  }
  return otherwise;
}

// Ranges that begin and end anywhere, in no order, with some of every kind.
Ranges randomRanges(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  const int codecs[] = {qcclCodecNone, qcclCodecBf16, qcclCodecInt8, qcclCodecInt4, qcclCodecNone};
  Ranges ranges;
  std::size_t at = random() % 100;
  while (at < count) {
    const std::size_t elems = std::min<std::size_t>(count - at, 1 + random() % (random() % 3 == 0 ? 5000 : 70));
    ranges.push_back({at, elems, codecs[random() % 5]});
    at += elems + (random() % 2 == 0 ? 0 : random() % 3000);
  }
  std::shuffle(ranges.begin(), ranges.end(), random);
  return ranges;
}

struct Setting {
  std::string transport;
  int size;
};

class PrecisionMaps : public testing::TestWithParam<Setting> {};

std::vector<float> mappedAllReduce(qcclComm_t comm, int rank, std::size_t count, const Ranges& ranges, int algorithm) {
  std::vector<float> values = normalValues(count, rank);
  const qcclQuantConfig_t quant = quantConfig(qcclCodecInt8, algorithm);
  QCCL_EXPECT_OK(
      qcclAllReduceMapped(values.data(), values.data(), count, qcclFloat32, qcclSum, ranges.data(), ranges.size(), &quant, comm, nullptr));
  return values;
}

TEST_P(PrecisionMaps, EveryRangeIsAsPreciseAsItsCodec) {
  const int size = GetParam().size;
  const RankThreads ranks(GetParam().transport, size);
  const auto n = static_cast<std::size_t>(size);
  for (int algorithm = qcclAlgoOneshot; algorithm < qcclAlgoNccl; ++algorithm) {
    for (const std::size_t count : {std::size_t{100}, std::size_t{30011}, std::size_t{300007}}) {
      const Ranges ranges = randomRanges(count, static_cast<unsigned>(count) + static_cast<unsigned>(algorithm));
      std::vector<std::vector<float>> results(n), inputs(n);
      for (int rank = 0; rank < size; ++rank) inputs[static_cast<std::size_t>(rank)] = normalValues(count, rank);
      ranks.run([&](int rank, qcclComm_t comm) {
        results[static_cast<std::size_t>(rank)] = mappedAllReduce(comm, rank, count, ranges, algorithm);
      });
      for (std::size_t r = 1; r < n; ++r) ASSERT_EQ(results[r], results[0]);
      std::size_t inexact = 0;
      for (std::size_t i = 0; i < count; ++i) {
        const int codec = codecAt(ranges, i, qcclCodecInt8);
        double factor = 0;
        QCCL_ASSERT_OK(qcclGetErrorBound(static_cast<qcclAlgo_t>(algorithm), static_cast<qcclCodec_t>(codec), qcclScaleFloat32,
                                         qcclRoundNearest, size, &factor));
        const std::size_t first = i / kBlock * kBlock, last = std::min(count, first + kBlock);
        double exact = 0, magnitudes = 0;
        for (const auto& input : inputs) {
          exact += static_cast<double>(input[i]);
          double most = 0;
          for (std::size_t k = first; k < last; ++k) most = std::max(most, std::fabs(static_cast<double>(input[k])));
          magnitudes += most;
        }
        const double error = std::fabs(static_cast<double>(results[0][i]) - exact);
        ASSERT_LE(error, (factor + kAdditionTolerance) * magnitudes) << "element " << i << " of " << count << ", codec " << codec;
        if (codec == qcclCodecInt8 && error > 1e-4) ++inexact;
      }
      if (count > 1000 && size > 1) {
        EXPECT_GT(inexact, count / 50) << "nothing was quantized";
      }
    }
  }
}

TEST_P(PrecisionMaps, ResultsDoNotDependOnTiles) {
  constexpr std::size_t kCount = 200003;
  const Ranges ranges = randomRanges(kCount, 7);
  std::vector<std::vector<float>> results;
  for (const char* tile : {"4K", "64K", "1M"}) {
    setenv("QCCL_TILE_BYTES", tile, 1);
    const RankThreads ranks(GetParam().transport, GetParam().size);
    unsetenv("QCCL_TILE_BYTES");
    std::vector<float> result;
    ranks.run([&](int rank, qcclComm_t comm) {
      std::vector<float> values = mappedAllReduce(comm, rank, kCount, ranges, qcclAlgoTwoshot);
      if (rank == 0) result = std::move(values);
    });
    results.push_back(result);
  }
  EXPECT_EQ(results[1], results[0]);
  EXPECT_EQ(results[2], results[0]);
}

INSTANTIATE_TEST_SUITE_P(All, PrecisionMaps,
                         testing::Values(Setting{"inproc", 1}, Setting{"inproc", 2}, Setting{"inproc", 5}, Setting{"ucx", 3}),
                         [](const testing::TestParamInfo<Setting>& row) {
                           return row.param.transport + "_W" + std::to_string(row.param.size);
                         });

TEST(PrecisionMap, OneRangeForAllIsTheCallWithThatCodec) {
  constexpr std::size_t kCount = 50021;
  const RankThreads ranks("inproc", 3);
  for (const int codec : {qcclCodecNone, qcclCodecInt4, qcclCodecBf16}) {
    ranks.run([&](int rank, qcclComm_t comm) {
      const std::vector<float> values = mappedAllReduce(comm, rank, kCount, {{0, kCount, codec}}, qcclAlgoTwoshot);
      std::vector<float> expected = normalValues(kCount, rank);
      const qcclQuantConfig_t quant = quantConfig(codec, qcclAlgoTwoshot);
      QCCL_ASSERT_OK(qcclAllReduceEx(expected.data(), expected.data(), kCount, qcclFloat32, qcclSum, &quant, comm, nullptr));
      EXPECT_EQ(values, expected) << "codec " << codec;
    });
  }
}

TEST(PrecisionMap, RefusesRangesThatDoNotFit) {
  const RankThreads ranks("inproc", 2);
  std::vector<float> values(100);
  const qcclQuantConfig_t quant = quantConfig(qcclCodecInt8, qcclAlgoTwoshot);
  const auto refused = [&](const Ranges& ranges, qcclDataType_t dtype, qcclRedOp_t op, const std::string& word) {
    EXPECT_EQ(
        qcclAllReduceMapped(values.data(), values.data(), 100, dtype, op, ranges.data(), ranges.size(), &quant, ranks.comm(0), nullptr),
        qcclInvalidArgument);
    EXPECT_NE(std::string(qcclGetLastError(nullptr)).find(word), std::string::npos) << qcclGetLastError(nullptr);
  };
  refused({{0, 10, qcclCodecNone}, {9, 5, qcclCodecNone}}, qcclFloat32, qcclSum, "overlaps");
  refused({{90, 11, qcclCodecNone}}, qcclFloat32, qcclSum, "beyond");
  refused({{101, 0, qcclCodecNone}}, qcclFloat32, qcclSum, "beyond");
  refused({{SIZE_MAX, 2, qcclCodecNone}}, qcclFloat32, qcclSum, "beyond");
  refused({{0, 10, 99}}, qcclFloat32, qcclSum, "codec 99");
  refused({{0, 10, qcclCodecNone}}, qcclInt32, qcclSum, "int32");
  refused({{0, 10, qcclCodecNone}}, qcclFloat32, qcclMax, "max");
}

TEST(PrecisionMap, MapsThatDifferAreReported) {
  const RankThreads ranks("inproc", 2, [](qcclConfig_t& config) { config.timeoutMs = 20000; });
  ranks.run([&](int rank, qcclComm_t comm) {
    std::vector<float> values(1000, 1.0f);
    const Ranges ranges = {{rank == 0 ? std::size_t{0} : std::size_t{64}, 100, qcclCodecNone}};
    const qcclQuantConfig_t quant = quantConfig(qcclCodecInt8, qcclAlgoTwoshot);
    const qcclResult_t result =
        qcclAllReduceMapped(values.data(), values.data(), values.size(), qcclFloat32, qcclSum, ranges.data(), 1, &quant, comm, nullptr);
    EXPECT_EQ(result, qcclInvalidUsage);
    EXPECT_NE(std::string(qcclGetLastError(comm)).find("precision map"), std::string::npos) << qcclGetLastError(comm);
  });
}

// Largest error of the mean over `calls` calls with the same input, on rank 0.
double errorOfMean(const RankThreads& ranks, std::size_t count, int codec, int algorithm, bool feedback, int calls) {
  std::vector<double> mean(count, 0.0);
  std::vector<double> exact(count, 0.0);
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const std::vector<float> values = normalValues(count, rank);
    for (std::size_t i = 0; i < count; ++i) exact[i] += static_cast<double>(values[i]);
  }
  ranks.run([&](int rank, qcclComm_t comm) {
    const std::vector<float> values = normalValues(count, rank);
    std::vector<float> out(count);
    qcclQuantConfig_t quant = quantConfig(codec, algorithm);
    quant.errorFeedback = feedback ? 1 : 0;
    for (int call = 0; call < calls; ++call) {
      QCCL_ASSERT_OK(qcclAllReduceEx(values.data(), out.data(), count, qcclFloat32, qcclSum, &quant, comm, nullptr));
      for (std::size_t i = 0; rank == 0 && i < count; ++i) mean[i] += static_cast<double>(out[i]) / calls;
    }
  });
  double worst = 0;
  for (std::size_t i = 0; i < count; ++i) worst = std::max(worst, std::fabs(mean[i] - exact[i]));
  return worst;
}

TEST(ErrorFeedback, LosesNothingOverManyCalls) {
  constexpr std::size_t kCount = 20011;
  for (const std::string transport : {"inproc", "ucx"}) {
    const RankThreads ranks(transport, 3);
    for (const int algorithm : {qcclAlgoTwoshot, qcclAlgoRing, qcclAlgoOneshot, qcclAlgoTree}) {
      const double without = errorOfMean(ranks, kCount, qcclCodecInt4, algorithm, false, 32);
      const double with = errorOfMean(ranks, kCount, qcclCodecInt4, algorithm, true, 32);
      EXPECT_LT(with, without / 8) << transport << ", " << qcclEnumName(qcclEnumAlgo, algorithm);
    }
  }
}

TEST(ErrorFeedback, BelongsToABufferAndEndsWithReset) {
  constexpr std::size_t kCount = 5003;
  const RankThreads ranks("inproc", 2);
  ranks.run([&](int rank, qcclComm_t comm) {
    const std::vector<float> values = normalValues(kCount, rank);
    const std::vector<float> twin = values;  // another buffer with the same values
    qcclQuantConfig_t quant = quantConfig(qcclCodecInt4, qcclAlgoTwoshot);
    quant.errorFeedback = 1;
    const auto reduced = [&](const std::vector<float>& in) {
      std::vector<float> out(kCount);
      QCCL_EXPECT_OK(qcclAllReduceEx(in.data(), out.data(), kCount, qcclFloat32, qcclSum, &quant, comm, nullptr));
      return out;
    };
    const std::vector<float> first = reduced(values);
    EXPECT_NE(reduced(values), first) << "the second call knows nothing of the first's error";
    EXPECT_EQ(reduced(twin), first) << "a buffer has the error of another";
    QCCL_EXPECT_OK(qcclCommResetFeedback(comm));
    EXPECT_EQ(reduced(values), first);
  });
}

TEST(ErrorFeedback, ANonFiniteCallPoisonsNoLaterOne) {
  constexpr std::size_t kCount = 1000;
  const RankThreads ranks("inproc", 2);
  ranks.run([&](int rank, qcclComm_t comm) {
    std::vector<float> values = normalValues(kCount, rank);
    std::vector<float> out(kCount);
    qcclQuantConfig_t quant = quantConfig(qcclCodecInt8, qcclAlgoTwoshot);
    quant.errorFeedback = 1;
    const float good = values[500];
    if (rank == 0) values[500] = std::numeric_limits<float>::infinity();
    QCCL_ASSERT_OK(qcclAllReduceEx(values.data(), out.data(), kCount, qcclFloat32, qcclSum, &quant, comm, nullptr));
    EXPECT_FALSE(std::isfinite(out[500]));
    values[500] = good;
    QCCL_ASSERT_OK(qcclAllReduceEx(values.data(), out.data(), kCount, qcclFloat32, qcclSum, &quant, comm, nullptr));
    for (const float x : out) ASSERT_TRUE(std::isfinite(x));
  });
}

TEST(ErrorFeedback, ResultsDoNotDependOnTiles) {
  constexpr std::size_t kCount = 200003;
  std::vector<std::vector<float>> results;
  for (const char* tile : {"4K", "1M"}) {
    setenv("QCCL_TILE_BYTES", tile, 1);
    const RankThreads ranks("inproc", 3);
    unsetenv("QCCL_TILE_BYTES");
    std::vector<float> result(kCount);
    ranks.run([&](int rank, qcclComm_t comm) {
      const std::vector<float> values = normalValues(kCount, rank);
      std::vector<float> out(kCount);
      qcclQuantConfig_t quant = quantConfig(qcclCodecInt5, qcclAlgoRing);
      quant.errorFeedback = 1;
      for (int call = 0; call < 3; ++call) {
        QCCL_ASSERT_OK(qcclAllReduceEx(values.data(), out.data(), kCount, qcclFloat32, qcclSum, &quant, comm, nullptr));
      }
      if (rank == 0) result = out;
    });
    results.push_back(result);
  }
  EXPECT_EQ(results[0], results[1]);
}

}  // namespace
}  // namespace qccl::test
