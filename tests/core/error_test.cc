#include "core/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace qccl {
namespace {

TEST(ErrorTest, CarriesCodeAndSentence) {
  try {
    fail(qcclInvalidUsage, "rank ", 3, " of ", 2.5, "; use ", std::string("less"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), qcclInvalidUsage);
    EXPECT_STREQ(error.what(), "rank 3 of 2.5; use less");
  }
}

TEST(ErrorTest, OfTheSystemHasItsText) {
  try {
    failErrno("opening /nowhere", ENOENT);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), qcclSystemError);
    EXPECT_STREQ(error.what(), "opening /nowhere: No such file or directory");
  }
}

TEST(ErrorTest, AFailedCheckNamesTheConditionAndThePlace) {
  QCCL_CHECK(1 + 1 == 2);
  try {
    QCCL_CHECK(1 + 1 == 3);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), qcclInternalError);
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("1 + 1 == 3"), testing::HasSubstr("error_test.cc:")));
  }
}

}  // namespace
}  // namespace qccl
