// The precision that is predicted for a quantized call against the precision that it has, and what is done with a demand for it. Inputs are
// independent and Gaussian, as the model wants them.
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "rank_threads.hpp"
#include "values.hpp"

namespace qccl::test {
namespace {

// The model leaves out that noise is coded again, and the sample is finite.
constexpr double kModelToleranceDb = 0.15;
constexpr double kPowerOfTwoToleranceDb = 0.3;

// The energy of a result and of its error against the exact sum over `size` ranks, from element `first` of the message on.
struct Energies {
  double signal = 0;
  double noise = 0;

  double snrDb() const { return 10 * std::log10(signal / noise); }
};

Energies compare(const std::vector<float>& result, std::size_t first, std::size_t total, int size) {
  std::vector<double> exact(result.size());
  for (int rank = 0; rank < size; ++rank) {
    const std::vector<float> x = normalValues(total, rank);
    for (std::size_t i = 0; i < result.size(); ++i) exact[i] += static_cast<double>(x[first + i]);
  }
  Energies energies;
  for (std::size_t i = 0; i < result.size(); ++i) {
    const double error = static_cast<double>(result[i]) - exact[i];
    energies.signal += exact[i] * exact[i];
    energies.noise += error * error;
  }
  return energies;
}

// What the ranks get for normalValues(), on rank 0.
std::vector<float> allReduce(const RankThreads& ranks, std::size_t count, const qcclQuantConfig_t& quant) {
  std::vector<float> result;
  ranks.run([&](int rank, qcclComm_t comm) {
    std::vector<float> x = normalValues(count, rank);
    QCCL_ASSERT_OK(qcclAllReduceEx(x.data(), x.data(), count, qcclFloat32, qcclSum, &quant, comm, nullptr));
    if (rank == 0) result = x;
  });
  return result;
}

double predictedSnrDb(const RankThreads& ranks, qcclColl_t collective, std::size_t count, const qcclQuantConfig_t* quant) {
  qcclPlan_t plan{};
  QCCL_EXPECT_OK(qcclCommExplain(ranks.comm(0), collective, count, qcclFloat32, qcclSum, quant, &plan));
  return plan.predictedSnrDb;
}

class Precision : public testing::TestWithParam<std::tuple<int, int>> {
 protected:
  int size() const { return std::get<0>(GetParam()); }
  int algorithm() const { return std::get<1>(GetParam()); }
  qcclQuantConfig_t config(int block, int rounding) const {
    qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
    quant.codec = qcclCodecInt8;
    quant.algorithm = algorithm();
    quant.blockElems = block;
    quant.rounding = rounding;
    quant.ranksPerHost = 2;
    return quant;
  }
};

TEST_P(Precision, OfAllReduceIsAsPredicted) {
  const std::size_t count = std::size_t{1} << 17;
  const RankThreads ranks("inproc", size());
  for (const int block : {32, 256, 2048}) {
    for (const int rounding : {qcclRoundNearest, qcclRoundStochastic}) {
      const qcclQuantConfig_t quant = config(block, rounding);
      const std::vector<float> result = allReduce(ranks, count, quant);
      EXPECT_NEAR(compare(result, 0, count, size()).snrDb(), predictedSnrDb(ranks, qcclCollAllReduce, count, &quant), kModelToleranceDb)
          << "block " << block << ", " << qcclEnumName(qcclEnumRounding, rounding);
    }
  }
}

// Values of all sizes within an octave, by blocks of 256: with scales that are powers of two, how large the noise is depends on where
// between two powers the block's largest magnitude lies, and the prediction is the mean.
float sizeAt(std::size_t i) { return std::exp2(static_cast<float>(i / 256 % 16) / 16.0f); }

class PrecisionOfFormats : public Precision {};

TEST_P(PrecisionOfFormats, IsAsPredictedForEveryCodecAndScale) {
  const std::size_t count = std::size_t{1} << 17;
  const RankThreads ranks("inproc", size());
  for (int codec = qcclCodecInt8; codec < qcclNumCodecs; ++codec) {
    for (int scale = 0; scale < (codec == qcclCodecBf16 ? 1 : static_cast<int>(qcclNumScales)); ++scale) {
      qcclQuantConfig_t quant = config(256, qcclRoundNearest);
      quant.codec = codec;
      quant.scale = scale;
      std::vector<float> result;
      ranks.run([&](int rank, qcclComm_t comm) {
        std::vector<float> x = normalValues(count, rank);
        for (std::size_t i = 0; i < count; ++i) x[i] *= sizeAt(i);
        QCCL_ASSERT_OK(qcclAllReduceEx(x.data(), x.data(), count, qcclFloat32, qcclSum, &quant, comm, nullptr));
        if (rank != 0) return;
        for (std::size_t i = 0; i < count; ++i) x[i] /= sizeAt(i);
        result = x;
      });
      const double tolerance = scale == qcclScaleE8m0 ? kPowerOfTwoToleranceDb : kModelToleranceDb;
      EXPECT_NEAR(compare(result, 0, count, size()).snrDb(), predictedSnrDb(ranks, qcclCollAllReduce, count, &quant), tolerance)
          << qcclEnumName(qcclEnumCodec, codec) << ", scale " << qcclEnumName(qcclEnumScale, scale);
    }
  }
}

TEST_P(Precision, OfReduceScatterIsAsPredicted) {
  const std::size_t count = std::size_t{1} << 17;
  const std::size_t total = count * static_cast<std::size_t>(size());
  const qcclQuantConfig_t quant = config(256, qcclRoundNearest);
  const RankThreads ranks("inproc", size(), [&](qcclConfig_t& config) { config.quant = quant; });
  std::vector<float> result(count);
  ranks.run([&](int rank, qcclComm_t comm) {
    const std::vector<float> x = normalValues(total, rank);
    std::vector<float> own(count);
    QCCL_ASSERT_OK(qcclReduceScatter(x.data(), own.data(), count, qcclFloat32, qcclSum, comm, nullptr));
    if (rank == 1) result = own;
  });
  EXPECT_NEAR(compare(result, count, total, size()).snrDb(), predictedSnrDb(ranks, qcclCollReduceScatter, count, nullptr),
              kModelToleranceDb);
}

std::string nameOf(const testing::TestParamInfo<std::tuple<int, int>>& test) {
  return "W" + std::to_string(std::get<0>(test.param)) + "_" + qcclEnumName(qcclEnumAlgo, std::get<1>(test.param));
}

const auto kAlgorithms = testing::Range(static_cast<int>(qcclAlgoOneshot), static_cast<int>(qcclAlgoNccl));
INSTANTIATE_TEST_SUITE_P(All, Precision, testing::Combine(testing::Values(2, 4, 8), kAlgorithms), nameOf);
INSTANTIATE_TEST_SUITE_P(All, PrecisionOfFormats, testing::Combine(testing::Values(4), kAlgorithms), nameOf);

// A long ring with few bits: noise that is coded again counts.
TEST(PrecisionOfALongRing, IsAsPredicted) {
  const int size = 16;
  const std::size_t count = std::size_t{1} << 16;
  const RankThreads ranks("inproc", size);
  qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
  quant.codec = qcclCodecInt4;
  quant.algorithm = qcclAlgoRing;
  const std::vector<float> result = allReduce(ranks, count, quant);
  EXPECT_NEAR(compare(result, 0, count, size).snrDb(), predictedSnrDb(ranks, qcclCollAllReduce, count, &quant), kModelToleranceDb);
}

TEST(DemandForPrecision, ChoosesAlgorithmsAndReachesTheResult) {
  const int size = 4;
  const std::size_t count = std::size_t{1} << 17;
  const RankThreads ranks("inproc", size, [](qcclConfig_t& config) { config.quant.codec = qcclCodecInt8; });
  const auto plan = [&](const qcclQuantConfig_t& quant) {
    qcclPlan_t result{};
    QCCL_EXPECT_OK(qcclCommExplain(ranks.comm(0), qcclCollAllReduce, count, qcclFloat32, qcclSum, &quant, &result));
    return result;
  };
  qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
  const qcclPlan_t any = plan(quant);
  EXPECT_EQ(any.algorithm, qcclAlgoTwoshot);
  // Half a decibel more than that has.
  quant.minSnrDb = any.predictedSnrDb + 0.5;
  const qcclPlan_t better = plan(quant);
  EXPECT_EQ(better.codec, qcclCodecInt8);
  EXPECT_GE(better.predictedSnrDb, quant.minSnrDb);
  const std::vector<float> result = allReduce(ranks, count, quant);
  EXPECT_GE(compare(result, 0, count, size).snrDb(), quant.minSnrDb);
  // More than int8 has: exact, but not where int8 was asked for with the call.
  quant.minSnrDb = 60;
  const qcclPlan_t exact = plan(quant);
  EXPECT_EQ(exact.codec, qcclCodecNone);
  EXPECT_TRUE(std::isinf(exact.predictedSnrDb));
  quant.codec = qcclCodecInt8;
  std::vector<float> x(count);
  EXPECT_EQ(qcclAllReduceEx(x.data(), x.data(), count, qcclFloat32, qcclSum, &quant, ranks.comm(0), nullptr), qcclInvalidArgument);
  EXPECT_NE(std::string(qcclGetLastError(nullptr)).find("minSnrDb"), std::string::npos) << qcclGetLastError(nullptr);
}

}  // namespace
}  // namespace qccl::test
