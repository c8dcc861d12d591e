#include "parallel/gradient_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "model/cpu/cpu_ops.hpp"
#include "model/error.hpp"
#include "parallel/comm_mode.hpp"
#include "parallel/gradient_reducer.hpp"
#include "rank_threads.hpp"
#include "support/models.hpp"

namespace qccl::train {
namespace {

using testing::Each;
using testing::HasSubstr;

constexpr std::size_t kBucketBytes = std::size_t{1} << 16;
constexpr std::size_t kMicros = 4;

StoreOptions storeOf(const std::string& codec, qcclRounding_t rounding = qcclRoundNearest, int rank = 0) {
  return {.format = parseGradientStore(codec, qcclScaleFloat32, 256),
          .rounding = rounding,
          .seed = static_cast<std::uint64_t>(rank),
          .bucketBytes = kBucketBytes};
}

// What backward does in a micro-batch: adds to each gradient, in the order of the layout.
void backward(Parameters& parameters, GradientStore& store, int rank, std::size_t micro,
              const std::function<void(const Parameter&)>& then = {}) {
  std::mt19937 random(static_cast<unsigned>(rank) * 100 + static_cast<unsigned>(micro));
  std::normal_distribution<float> normal;
  for (const Parameter& parameter : parameters.list()) {
    for (float& value : parameters.gradient(parameter)) value += normal(random) * 0.01F;
    store.ready(parameter);
    if (then) then(parameter);
  }
}

std::vector<float> contents(Parameters& parameters, GradientStore& store) {
  std::vector<float> values(parameters.arenaElems());
  store.visit([&](const Parameter& parameter) {
    const auto gradient = parameters.gradient(parameter);
    std::copy(gradient.begin(), gradient.end(), values.begin() + static_cast<std::ptrdiff_t>(parameter.offsetElems));
  });
  return values;
}

std::vector<float> accumulated(const StoreOptions& options, std::uint64_t firstMicroBatch = 0) {
  const auto ops = makeCpuOps();
  Parameters parameters(test::bucketedModel(), *ops);
  GradientStore store(parameters, options);
  for (std::size_t micro = 0; micro < kMicros; ++micro) {
    store.begin(firstMicroBatch + micro, micro == 0);
    backward(parameters, store, 0, micro);
  }
  return contents(parameters, store);
}

// What one quantization of a value costs at most, relative to the largest of its block.
double codecBound(const std::string& codec, qcclRounding_t rounding) {
  double factor = 0;
  EXPECT_EQ(qcclGetErrorBound(qcclAlgoOneshot, static_cast<qcclCodec_t>(findCodec(codec)), qcclScaleFloat32, rounding, 2, &factor),
            qcclSuccess);
  return factor;
}

TEST(GradientStore, Fp32IsTheSumOfTheMicroBatches) {
  const auto ops = makeCpuOps();
  Parameters parameters(test::bucketedModel(), *ops);
  GradientStore unused(parameters, {});
  for (std::size_t micro = 0; micro < kMicros; ++micro) backward(parameters, unused, 0, micro);
  const std::vector<float> stored = accumulated({.bucketBytes = kBucketBytes});
  EXPECT_TRUE(std::equal(stored.begin(), stored.end(), parameters.gradients().begin()));
}

TEST(GradientStore, APackedStoreAddsMicroBatchesWithinTheBound) {
  const std::vector<float> exact = accumulated({.bucketBytes = kBucketBytes});
  const auto ops = makeCpuOps();
  const Parameters parameters(test::bucketedModel(), *ops);
  for (int codec = qcclCodecNone + 1; codec < qcclNumCodecs; ++codec) {
    const std::string name = qcclEnumName(qcclEnumCodec, codec);
    for (const qcclRounding_t rounding : {qcclRoundNearest, qcclRoundStochastic}) {
      const std::vector<float> stored = accumulated(storeOf(name, rounding));
      // Micro-batches have normal values of deviation 0.01: with fewer than 10^6 of them the sum of k is below 6 sqrt(k) of that, and so
      // is what rounding adds. Each addition quantizes once.
      double bound = 0;
      for (std::size_t k = 1; k <= kMicros; ++k) bound += codecBound(name, rounding) * 0.06 * std::sqrt(static_cast<double>(k)) * 1.3;
      double worst = 0;
      for (std::size_t i = 0; i < parameters.matrixElems(); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(stored[i] - exact[i])));
      EXPECT_LE(worst, bound) << name;
      EXPECT_GT(worst, bound / 50) << name << " did not quantize";
      EXPECT_TRUE(std::equal(stored.begin() + static_cast<std::ptrdiff_t>(parameters.matrixElems()), stored.end(),
                             exact.begin() + static_cast<std::ptrdiff_t>(parameters.matrixElems())))
          << name << " changed a vector";
    }
  }
}

TEST(GradientStore, NoiseIsAFunctionOfTheMicroBatchAndTheSeed) {
  const StoreOptions options = storeOf("int4", qcclRoundStochastic, 3);
  const std::vector<float> first = accumulated(options);
  EXPECT_EQ(accumulated(options), first);
  EXPECT_NE(accumulated(options, kMicros), first);
  EXPECT_NE(accumulated(storeOf("int4", qcclRoundStochastic, 4)), first);
}

TEST(GradientStore, AStepBeginsWithZeros) {
  const auto ops = makeCpuOps();
  Parameters parameters(test::bucketedModel(), *ops);
  for (const char* codec : {"fp32", "int8"}) {
    GradientStore store(parameters, storeOf(codec));
    std::vector<float> values[2];
    for (std::vector<float>& value : values) {
      store.begin(0, true);
      backward(parameters, store, 0, 0);
      value = contents(parameters, store);
    }
    EXPECT_EQ(values[0], values[1]) << codec;
  }
}

// Counted by the system, not by us: pages of the arena that are in memory.
TEST(GradientStore, APackedStoreGivesTheMemoryOfGradientsBack) {
  const auto ops = makeCpuOps();
  Parameters parameters(test::bucketedModel(), *ops);
  const std::size_t arenaBytes = parameters.arenaElems() * sizeof(float);
  GradientStore store(parameters, storeOf("int8"));
  ASSERT_GT(store.layout().buckets.size(), 4u);
  std::size_t largest = 0;
  for (const Bucket& bucket : store.layout().buckets) largest = std::max(largest, bucket.elems() * sizeof(float));
  const std::size_t edges = (store.layout().buckets.size() + 1) * 4096;  // a page in which two buckets meet stays
  const std::size_t vectors = (parameters.arenaElems() - parameters.matrixElems()) * sizeof(float);
  EXPECT_LE(parameters.residentGradientBytes(), 2u * 4096) << "memory was touched before it was needed";
  for (std::size_t micro = 0; micro < 2; ++micro) {
    store.begin(micro, micro == 0);
    backward(parameters, store, 0, micro,
             [&](const Parameter&) { EXPECT_LE(parameters.residentGradientBytes(), largest + edges + vectors + 4096); });
    EXPECT_LE(parameters.residentGradientBytes(), edges + vectors + 4096);
  }
  contents(parameters, store);
  EXPECT_LE(parameters.residentGradientBytes(), edges + vectors + 4096);
  EXPECT_LT(store.packedBytes(), arenaBytes * 27 / 100);
  EXPECT_GE(store.peakBytes(), store.packedBytes() + largest / 2);
  EXPECT_LE(store.peakBytes(), store.packedBytes() + largest + edges + vectors + 4096);

  Parameters whole(test::bucketedModel(), *ops);
  GradientStore plain(whole, storeOf("fp32"));
  plain.begin(0, true);
  backward(whole, plain, 0, 0);
  contents(whole, plain);
  EXPECT_EQ(plain.peakBytes(), arenaBytes);
}

// Both ranks' gradients after a step of kMicros micro-batches.
std::vector<std::vector<float>> reducedOnTwoRanks(const StoreOptions& storeOptions, const std::string& mode) {
  std::vector<std::vector<float>> results(2);
  EXPECT_THAT(runRanks(2,
                       [&](Group& group) {
                         const auto ops = makeCpuOps();
                         Parameters parameters(test::bucketedModel(), *ops);
                         GradientStore store(parameters, storeOptions);
                         ReducerOptions options;
                         options.mode = parseCommMode(mode);
                         options.minBytes = 0;
                         GradientReducer reducer(group, store, options);
                         for (std::size_t micro = 0; micro < kMicros; ++micro) {
                           store.begin(micro, micro == 0);
                           const bool last = micro + 1 == kMicros;
                           if (last) reducer.begin();
                           backward(parameters, store, group.rank(), micro, [&](const Parameter& parameter) {
                             if (last) reducer.ready(parameter);
                           });
                         }
                         reducer.finish();
                         results[static_cast<std::size_t>(group.rank())] = contents(parameters, store);
                         EXPECT_EQ(contents(parameters, store), results[static_cast<std::size_t>(group.rank())]) << "a visit changed it";
                       }),
              Each(""));
  return results;
}

TEST(GradientStore, RanksAgreeBitForBitAndAreNearTheMean) {
  const auto exact = reducedOnTwoRanks({.bucketBytes = kBucketBytes}, "exact-ring");
  ASSERT_EQ(exact[0], exact[1]);
  struct Case {
    const char *store, *mode;
    double most;  // relative L2 error
  };
  for (const Case& c :
       {Case{"int8", "int8", 0.03}, Case{"int8", "int8-ring", 0.03}, Case{"int8", "int8-twoshot", 0.03}, Case{"int8", "exact", 0.03},
        Case{"int4", "int4-oneshot", 0.4}, Case{"bf16", "bf16-ring", 0.005}, Case{"fp8e4m3", "fp8e4m3-tree", 0.08}}) {
    for (const qcclRounding_t rounding : {qcclRoundNearest, qcclRoundStochastic}) {
      const auto stored = reducedOnTwoRanks(storeOf(c.store, rounding), c.mode);
      EXPECT_EQ(stored[0], stored[1]) << c.store << ' ' << c.mode;
      double error = 0, power = 0;
      for (std::size_t i = 0; i < exact[0].size(); ++i) {
        error += std::pow(static_cast<double>(stored[0][i]) - static_cast<double>(exact[0][i]), 2);
        power += std::pow(static_cast<double>(exact[0][i]), 2);
      }
      EXPECT_LE(std::sqrt(error / power), c.most) << c.store << ' ' << c.mode;
      EXPECT_GT(error, 0) << c.store << ' ' << c.mode;
    }
  }
}

TEST(GradientStore, MisuseIsASentence) {
  const auto ops = makeCpuOps();
  Parameters parameters(test::bucketedModel(), *ops);
  EXPECT_THROW(parseGradientStore("int7", qcclScaleFloat32, 256), TrainError);
  EXPECT_FALSE(parseGradientStore("fp32", qcclScaleFloat32, 256));
  GradientStore store(parameters, storeOf("int8"));
  store.begin(0, true);
  store.ready(parameters.list().front());
  EXPECT_THROW(
      {
        for (int i = 0; i < 100; ++i) store.ready(parameters.list().front());
      },
      TrainError);
  ReducerOptions options;
  options.mode = parseCommMode("int4-ring");
  Group alone;
  try {
    GradientReducer reducer(alone, store, options);
    ADD_FAILURE() << "an int8 store travelled as int4";
  } catch (const TrainError& error) {
    EXPECT_THAT(error.what(), HasSubstr("--grad-store int8 and --comm int4-ring do not fit together"));
  }
}

}  // namespace
}  // namespace qccl::train
