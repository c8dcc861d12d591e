#include "parallel/gradient_reducer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <random>

#include "model/cpu/cpu_ops.hpp"
#include "model/error.hpp"
#include "rank_threads.hpp"
#include "support/models.hpp"

namespace qccl::train {
namespace {

using testing::Each;
using testing::HasSubstr;

constexpr std::size_t kBucketBytes = std::size_t{1} << 16;

// Gradients of rank r: different on every rank, of very different sizes from parameter to parameter.
void fillGradients(Parameters& parameters, int rank) {
  std::mt19937 random(static_cast<unsigned>(rank) + 1);
  std::normal_distribution<float> normal;
  float scale = 1.0f;
  for (const Parameter& parameter : parameters.list()) {
    for (float& value : parameters.gradient(parameter)) value = normal(random) * scale;
    scale = scale < 1e-6f ? 1.0f : scale * 0.1f;
  }
}

struct Reduced {
  std::vector<std::vector<float>> gradients;  // by rank
  std::vector<ReduceReport> reports;
};

// One step on `ranks` threads; `pause` is called before each parameter becomes ready.
Reduced reduceOnce(int ranks, const ReducerOptions& options, const std::function<void(int rank)>& pause = {}) {
  Reduced result;
  result.gradients.resize(static_cast<std::size_t>(ranks));
  result.reports.resize(static_cast<std::size_t>(ranks));
  EXPECT_THAT(runRanks(ranks,
                       [&](Group& group) {
                         const auto ops = makeCpuOps();
                         Parameters parameters(test::bucketedModel(), *ops);
                         fillGradients(parameters, group.rank());
                         GradientStore store(parameters, {.bucketBytes = kBucketBytes});
                         GradientReducer reducer(group, store, options);
                         reducer.begin();
                         for (const Parameter& parameter : parameters.list()) {
                           if (pause) pause(group.rank());
                           reducer.ready(parameter);
                         }
                         const auto r = static_cast<std::size_t>(group.rank());
                         result.reports[r] = reducer.finish();
                         const auto gradients = parameters.gradients();
                         result.gradients[r].assign(gradients.begin(), gradients.end());
                       }),
              Each(""));
  return result;
}

ReducerOptions optionsFor(const char* mode) {
  ReducerOptions options;
  options.mode = parseCommMode(mode);
  options.blockElems = 256;
  options.minBytes = 0;
  return options;
}

TEST(GradientReducer, ExactIsTheMeanOverTheRanks) {
  const auto ops = makeCpuOps();
  for (const int ranks : {1, 2, 3}) {
    std::vector<double> mean, magnitude;
    for (int rank = 0; rank < ranks; ++rank) {
      Parameters parameters(test::bucketedModel(), *ops);
      fillGradients(parameters, rank);
      mean.resize(parameters.arenaElems());
      magnitude.resize(parameters.arenaElems());
      for (std::size_t i = 0; i < mean.size(); ++i) {
        const auto value = static_cast<double>(parameters.gradients()[i]);
        mean[i] += value / ranks;
        magnitude[i] += std::abs(value);
      }
    }
    const Reduced reduced = reduceOnce(ranks, optionsFor("exact"));
    for (std::size_t i = 0; i < mean.size(); ++i) {
      // Each of the additions and the division rounds by at most 2^-24 of a partial sum, which is no larger than the sum of magnitudes.
      ASSERT_NEAR(reduced.gradients[0][i], mean[i], (ranks + 1) * 0x1p-24 * magnitude[i]) << i;
    }
  }
}

TEST(GradientReducer, Int8IsWithinTheLibrarysBoundAndVectorsAreExact) {
  const auto ops = makeCpuOps();
  for (const char* mode : {"int8-ring", "int8-twoshot", "int8-oneshot", "int8-tree"}) {
    for (const int ranks : {2, 3}) {
      // By the same algorithm, so that the vectors are added in the same order.
      const Reduced exact = reduceOnce(ranks, optionsFor(("exact" + std::string(mode).substr(4)).c_str()));
      const Reduced quantized = reduceOnce(ranks, optionsFor(mode));
      const Parameters parameters(test::bucketedModel(), *ops);
      std::vector<double> largest(parameters.list().size());
      for (int rank = 0; rank < ranks; ++rank) {
        Parameters mine(test::bucketedModel(), *ops);
        fillGradients(mine, rank);
        // A block can reach over several parameters: the bound of a bucket holds for each of its blocks.
        for (std::size_t p = 0; p < largest.size(); ++p) {
          float most = 0;
          for (const float value : mine.gradient(mine.list()[p])) most = std::max(most, std::abs(value));
          largest[p] += static_cast<double>(most);
        }
      }
      const BucketLayout layout = layOutBuckets(parameters.list(), parameters.matrixElems(), parameters.arenaElems(), kBucketBytes);
      std::vector<double> bound(layout.buckets.size());
      double factor = 0;
      ASSERT_EQ(qcclGetErrorBound(parseCommMode(mode).algorithm, qcclCodecInt8, qcclScaleFloat32, qcclRoundNearest, ranks, &factor),
                qcclSuccess);
      for (std::size_t p = 0; p < largest.size(); ++p)
        bound[layout.bucketOf[p]] = std::max(bound[layout.bucketOf[p]], largest[p] * factor / ranks);
      double worst = 0;
      for (std::size_t b = 0; b < layout.buckets.size(); ++b) {
        for (std::size_t i = layout.buckets[b].beginElems; i < layout.buckets[b].endElems; ++i) {
          if (layout.buckets[b].exact) {
            ASSERT_EQ(quantized.gradients[0][i], exact.gradients[0][i]) << mode << " changed a vector";
          } else {
            const double error = std::abs(static_cast<double>(quantized.gradients[0][i]) - static_cast<double>(exact.gradients[0][i]));
            ASSERT_LE(error, bound[b] * 1.0001) << mode << " element " << i;
            worst = std::max(worst, error);
          }
        }
      }
      EXPECT_GT(worst, 0) << mode << " did not quantize";
      // 256 elements as codes and one scale: 260 bytes for 1024; the rest are the exact vectors and incomplete blocks.
      const double ratio = static_cast<double>(quantized.reports[0].wireBytes) / static_cast<double>(exact.reports[0].wireBytes);
      EXPECT_LT(ratio, 0.27) << mode;
    }
  }
}

TEST(GradientReducer, EveryRankHasTheSameBitsWhateverTheTiming) {
  for (const char* mode : {"exact", "int8-ring", "int8-twoshot", "int8-tree"}) {
    const Reduced first = reduceOnce(3, optionsFor(mode));
    EXPECT_EQ(first.gradients[1], first.gradients[0]) << mode;
    EXPECT_EQ(first.gradients[2], first.gradients[0]) << mode;
    const Reduced slow =
        reduceOnce(3, optionsFor(mode), [](int rank) { std::this_thread::sleep_for(std::chrono::microseconds(300 * rank)); });
    EXPECT_EQ(slow.gradients[0], first.gradients[0]) << mode;
    EXPECT_EQ(slow.gradients[2], first.gradients[0]) << mode;
  }
}

TEST(GradientReducer, BucketsTravelWhileBackwardRuns) {
  // Backward ends only when the first bucket has travelled: if buckets waited for finish(), that would be never (here: until it is given
  // up).
  EXPECT_THAT(runRanks(2,
                       [&](Group& group) {
                         const auto ops = makeCpuOps();
                         Parameters parameters(test::bucketedModel(), *ops);
                         GradientStore store(parameters, {.bucketBytes = kBucketBytes});
                         GradientReducer reducer(group, store, optionsFor("exact"));
                         reducer.begin();
                         const Bucket& first = store.layout().buckets[0];
                         const std::uint64_t firstBytes = first.elems() * sizeof(float);  // 2 (W - 1) / W of it leave each of two ranks
                         const auto givenUp = std::chrono::steady_clock::now() + std::chrono::seconds(15);
                         for (std::size_t i = 0; i < parameters.list().size(); ++i) {
                           reducer.ready(parameters.list()[i]);
                           if (i + 1 != first.parameters) continue;
                           while (group.wireBytes() < firstBytes && std::chrono::steady_clock::now() < givenUp) std::this_thread::yield();
                           EXPECT_EQ(group.wireBytes(), firstBytes);
                         }
                         EXPECT_GT(reducer.finish().wireBytes, firstBytes);
                       }),
              Each(""));
}

TEST(GradientReducer, StepsFollowOneAnother) {
  EXPECT_THAT(runRanks(2,
                       [&](Group& group) {
                         const auto ops = makeCpuOps();
                         Parameters parameters(test::bucketedModel(), *ops);
                         GradientStore store(parameters, {.bucketBytes = kBucketBytes});
                         GradientReducer reducer(group, store, optionsFor("int8-ring"));
                         for (int step = 0; step < 20; ++step) {
                           for (float& value : parameters.gradients()) value = static_cast<float>(step) + static_cast<float>(group.rank());
                           reducer.begin();
                           for (const Parameter& parameter : parameters.list()) reducer.ready(parameter);
                           const ReduceReport report = reducer.finish();
                           EXPECT_GT(report.wireBytes, 0u);
                           // Constant blocks are exact in 127 steps of themselves, but for the rounding of the scale.
                           EXPECT_NEAR(parameters.gradients()[5], static_cast<float>(step) + 0.5f, 1e-5f * static_cast<float>(step + 1));
                         }
                       }),
              Each(""));
}

TEST(GradientReducer, ADeadRankEndsTheStepWithTheLibrarysSentence) {
  const auto errors = runRanks(2, [](Group& group) {
    const auto ops = makeCpuOps();
    Parameters parameters(test::bucketedModel(), *ops);
    GradientStore store(parameters, {.bucketBytes = kBucketBytes});
    GradientReducer reducer(group, store, optionsFor("int8-ring"));
    reducer.begin();
    for (const Parameter& parameter : parameters.list()) {
      if (group.rank() == 1 && parameter.is1D) failTrain("out of memory");
      reducer.ready(parameter);
    }
    reducer.finish();
  });
  EXPECT_EQ(errors[1], "out of memory");
  EXPECT_THAT(errors[0], HasSubstr("the gradients could not be averaged: "));
}

TEST(GradientReducer, AMissingRankEndsTheStepWithinTheBound) {
  const auto errors = runRanks(
      2,
      [](Group& group) {
        const auto ops = makeCpuOps();
        Parameters parameters(test::bucketedModel(), *ops);
        GradientStore store(parameters, {.bucketBytes = kBucketBytes});
        GradientReducer reducer(group, store, optionsFor("exact"));
        if (group.rank() == 1) {
          std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // hung for longer than the bound of 300 ms
          return;
        }
        reducer.begin();
        for (const Parameter& parameter : parameters.list()) reducer.ready(parameter);
        reducer.finish();
      },
      300);
  EXPECT_THAT(errors[0], HasSubstr("the gradients could not be averaged: "));
}

TEST(GradientReducer, MisuseIsReported) {
  EXPECT_THAT(runRanks(2,
                       [](Group& group) {
                         const auto ops = makeCpuOps();
                         Parameters parameters(test::bucketedModel(), *ops);
                         GradientStore store(parameters, {.bucketBytes = kBucketBytes});
                         GradientReducer reducer(group, store, optionsFor("none"));
                       }),
              Each(HasSubstr("--comm none is for one rank")));
  EXPECT_THAT(runRanks(1,
                       [](Group& group) {
                         const auto ops = makeCpuOps();
                         Parameters parameters(test::bucketedModel(), *ops);
                         GradientStore store(parameters, {.bucketBytes = kBucketBytes});
                         GradientReducer reducer(group, store, optionsFor("exact"));
                         reducer.begin();
                         const Parameter& first = parameters.list().front();
                         for (int i = 0; i < 100; ++i) reducer.ready(first);
                       }),
              Each(HasSubstr("became final twice")));
}

TEST(GradientReducer, OneRankWithoutCommunicationDoesNothing) {
  const auto ops = makeCpuOps();
  Parameters parameters(test::bucketedModel(), *ops);
  fillGradients(parameters, 0);
  const std::vector<float> before(parameters.gradients().begin(), parameters.gradients().end());
  Group group;
  GradientStore store(parameters, {.bucketBytes = kBucketBytes});
  GradientReducer reducer(group, store, optionsFor("none"));
  reducer.begin();
  for (const Parameter& parameter : parameters.list()) reducer.ready(parameter);
  EXPECT_EQ(reducer.finish().wireBytes, 0u);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), parameters.gradients().begin()));
}

}  // namespace
}  // namespace qccl::train
