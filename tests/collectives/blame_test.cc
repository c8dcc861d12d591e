#include "collectives/blame.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qccl::collectives {
namespace {

using testing::HasSubstr;
using Statuses = std::vector<std::optional<transport::RankStatus>>;

TEST(Blame, FollowsTheChainOfWaitsToItsEnd) {
  // 0 waits for 3, 3 for 1, and 1 has not come.
  const Statuses statuses = {transport::RankStatus{7, 3}, transport::RankStatus{6, -1}, transport::RankStatus{7, -1},
                             transport::RankStatus{7, 1}};
  EXPECT_THAT(explainWait(statuses, 3, 7), HasSubstr("rank 1 has not made this call (its last was #6)"));
}

TEST(Blame, NamesARankThatDoesNotAnswer) {
  const Statuses statuses = {transport::RankStatus{7, 1}, transport::RankStatus{7, 2}, std::nullopt};
  EXPECT_THAT(explainWait(statuses, 1, 7), HasSubstr("rank 2 does not answer"));
}

TEST(Blame, SeesSlownessOtherCallsAndCircles) {
  EXPECT_THAT(explainWait(Statuses{transport::RankStatus{7, 1}, transport::RankStatus{7, -1}}, 1, 7),
              HasSubstr("rank 1 is in or past this call"));
  EXPECT_THAT(explainWait(Statuses{transport::RankStatus{7, 1}, transport::RankStatus{9, -1}}, 1, 7),
              HasSubstr("rank 1 is already at call #9"));
  EXPECT_THAT(explainWait(Statuses{transport::RankStatus{7, 1}, transport::RankStatus{7, 0}}, 1, 7), HasSubstr("wait for one another"));
}

}  // namespace
}  // namespace qccl::collectives
