#include "parallel/group.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "parallel/replica_check.hpp"
#include "rank_threads.hpp"

namespace qccl::train {
namespace {

using testing::Each;
using testing::HasSubstr;

TEST(Group, AloneDoesNothing) {
  Group group;
  EXPECT_EQ(group.size(), 1);
  double values[2] = {1.5, 2.5};
  group.sum(values);
  EXPECT_EQ(values[1], 2.5);
  group.barrier();
  EXPECT_EQ(group.wireBytes(), 0u);
}

TEST(Group, SumsAreTheSameBitsOnEveryRank) {
  // Terms whose sum depends on the order.
  std::vector<double> sums(3);
  EXPECT_THAT(runRanks(3,
                       [&](Group& group) {
                         double value[1] = {std::pow(10.0, 16 - 8 * group.rank()) / 3};
                         group.sum(value);
                         sums[static_cast<std::size_t>(group.rank())] = value[0];
                       }),
              Each(""));
  EXPECT_EQ(sums[0], 1e16 / 3 + 1e8 / 3 + 1.0 / 3);
  EXPECT_EQ(sums[1], sums[0]);
  EXPECT_EQ(sums[2], sums[0]);
}

TEST(Group, BroadcastGivesTheValuesOfRankZero) {
  EXPECT_THAT(runRanks(3,
                       [&](Group& group) {
                         std::vector<float> values(1000, static_cast<float>(group.rank() + 1));
                         group.broadcast(values);
                         EXPECT_EQ(values, std::vector<float>(1000, 1.0f));
                         std::uint64_t number[1] = {static_cast<std::uint64_t>(group.rank()) + 7};
                         group.broadcast(number);
                         EXPECT_EQ(number[0], 7u);
                       }),
              Each(""));
}

TEST(ReplicaCheck, SeesOneBitOnOneRank) {
  for (const int wrong : {-1, 0, 1, 2}) {
    std::atomic<int> agreeing{0};
    EXPECT_THAT(runRanks(3,
                         [&](Group& group) {
                           std::vector<float> values(257, 0.25f);
                           if (group.rank() == wrong) values[256] = std::nextafterf(0.25f, 1.0f);
                           if (replicasAgree(group, values)) ++agreeing;
                         }),
                Each(""));
    EXPECT_EQ(agreeing, wrong < 0 ? 3 : 0);
  }
}

TEST(Group, AnAbortReachesTheOtherRanksAsASentence) {
  const auto errors = runRanks(2, [](Group& group) {
    if (group.rank() == 1) {
      group.abort();
    }
    group.barrier();
  });
  EXPECT_THAT(errors[0], HasSubstr("the exchange of numbers failed: "));
  EXPECT_THAT(errors[1], HasSubstr("parted by an earlier failure"));
}

}  // namespace
}  // namespace qccl::train
