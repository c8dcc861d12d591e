#include "core/deadline.hpp"

#include <gtest/gtest.h>

namespace qccl {
namespace {

using std::chrono::milliseconds;

TEST(Deadline, LiesAfterTheSpan) {
  const auto before = Deadline::Clock::now();
  const Deadline deadline = Deadline::in(milliseconds(60000));
  const auto after = Deadline::Clock::now();
  EXPECT_GE(deadline.at(), before + milliseconds(60000));
  EXPECT_LE(deadline.at(), after + milliseconds(60000));
  EXPECT_FALSE(deadline.passed());
  EXPECT_GT(deadline.left(), milliseconds(0));
  EXPECT_LE(deadline.left(), milliseconds(60000));
}

TEST(Deadline, OfNoTimeOrThePastHasPassed) {
  for (const int span : {0, -1, -60000}) {
    const Deadline deadline = Deadline::in(milliseconds(span));
    EXPECT_TRUE(deadline.passed()) << span;
    EXPECT_EQ(deadline.left(), milliseconds(0)) << span;
  }
}

// What is left is rounded up: a poll of 0 ms before the deadline would turn the wait into a spin.
TEST(Deadline, HasSomethingLeftUntilItHasPassed) {
  const Deadline deadline = Deadline::in(milliseconds(5));
  while (!deadline.passed()) {
    const milliseconds left = deadline.left();
    if (left == milliseconds(0)) {
      EXPECT_TRUE(deadline.passed());
    }
    EXPECT_LE(left, milliseconds(5));
  }
  EXPECT_EQ(deadline.left(), milliseconds(0));
}

}  // namespace
}  // namespace qccl
