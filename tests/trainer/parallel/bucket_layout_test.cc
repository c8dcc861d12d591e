#include "parallel/bucket_layout.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/cpu/cpu_ops.hpp"
#include "model/error.hpp"
#include "support/models.hpp"

namespace qccl::train {
namespace {

ModelConfig config(std::int64_t hidden, std::int64_t layers, bool tied) {
  ModelConfig c = test::smallModel(tied);
  c.vocab = 131;
  c.hidden = hidden;
  c.ffn = hidden * 3 + 4;
  c.layers = layers;
  return c;
}

BucketLayout layOut(const Parameters& parameters, std::size_t targetBytes) {
  return layOutBuckets(parameters.list(), parameters.matrixElems(), parameters.arenaElems(), targetBytes);
}

TEST(BucketLayout, CoversEveryGradientOnceInTheOrderOfBackward) {
  const auto ops = makeCpuOps();
  for (const std::int64_t hidden : {20, 100, 260}) {
    for (const std::int64_t layers : {1, 3}) {
      for (const bool tied : {true, false}) {
        const Parameters parameters(config(hidden, layers, tied), *ops);
        for (const std::size_t target : {std::size_t{1}, std::size_t{100000}, std::size_t{1} << 30}) {
          const BucketLayout layout = layOut(parameters, target);
          std::size_t at = 0;
          for (const Bucket& bucket : layout.buckets) {
            EXPECT_EQ(bucket.beginElems, at);
            EXPECT_GT(bucket.endElems, bucket.beginElems);
            at = bucket.endElems;
          }
          EXPECT_EQ(at, parameters.arenaElems());
          ASSERT_EQ(layout.bucketOf.size(), parameters.list().size());
          std::vector<std::size_t> counts(layout.buckets.size());
          for (std::size_t i = 0; i < parameters.list().size(); ++i) {
            const Parameter& parameter = parameters.list()[i];
            const Bucket& bucket = layout.buckets[layout.bucketOf[i]];
            ++counts[layout.bucketOf[i]];
            EXPECT_GE(parameter.offsetElems, bucket.beginElems);
            EXPECT_LE(parameter.offsetElems + parameter.elems, bucket.endElems);
            EXPECT_EQ(bucket.exact, parameter.is1D) << parameter.name;
          }
          for (std::size_t b = 0; b < counts.size(); ++b) EXPECT_EQ(counts[b], layout.buckets[b].parameters);
        }
      }
    }
  }
}

TEST(BucketLayout, VectorsAreOneBucketAtTheEnd) {
  const auto ops = makeCpuOps();
  const Parameters parameters(config(64, 3, true), *ops);
  const BucketLayout layout = layOut(parameters, std::size_t{4} << 20);
  for (std::size_t b = 0; b < layout.buckets.size(); ++b) EXPECT_EQ(layout.buckets[b].exact, b + 1 == layout.buckets.size());
  EXPECT_EQ(layout.buckets.back().parameters, 2u * 3 + 1);
}

TEST(BucketLayout, SizesFollowTheTargetAndTheModel) {
  const auto ops = makeCpuOps();
  // Matrices of about 4.6 MB: a sixteenth is 290 KB.
  const Parameters parameters(config(260, 4, true), *ops);
  const std::size_t sixteenth = parameters.matrixElems() * sizeof(float) / 16;
  ASSERT_GT(sixteenth, kSmallestBucketBytes);
  const BucketLayout coarse = layOut(parameters, std::size_t{4} << 20);
  EXPECT_GT(coarse.buckets.size(), 6u);
  const BucketLayout fine = layOut(parameters, std::size_t{1} << 16);
  EXPECT_GT(fine.buckets.size(), coarse.buckets.size());
  // All but the last bucket of matrices have the closing size, and none would have it without its last parameter.
  for (std::size_t b = 0; b + 2 < coarse.buckets.size(); ++b) EXPECT_GE(coarse.buckets[b].elems() * sizeof(float), sixteenth);
  // A tiny model is one bucket of matrices and one of vectors.
  EXPECT_EQ(layOut(Parameters(config(8, 1, true), *ops), std::size_t{4} << 20).buckets.size(), 2u);
}

TEST(BucketLayout, RefusesAnArenaOfAnotherOrder) {
  std::vector<Parameter> list(2);
  list[0] = {"norm", {16}, 0, 16, true, false};
  list[1] = {"matrix", {4, 4}, 16, 16, false, false};
  EXPECT_THROW(layOutBuckets(list, 16, 32, 1024), TrainError);
}

}  // namespace
}  // namespace qccl::train
