#include "parallel/comm_mode.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.hpp"

namespace qccl::train {
namespace {

TEST(CommMode, NamesSayCodecAndAlgorithm) {
  EXPECT_FALSE(parseCommMode("none").communicates);
  EXPECT_EQ(parseCommMode("exact").codec, qcclCodecNone);
  EXPECT_EQ(parseCommMode("exact").algorithm, qcclAlgoAuto);
  EXPECT_EQ(parseCommMode("exact-ring").algorithm, qcclAlgoRing);
  EXPECT_EQ(parseCommMode("int8").codec, qcclCodecInt8);
  EXPECT_EQ(parseCommMode("int8-ring").algorithm, qcclAlgoRing);
  EXPECT_EQ(parseCommMode("int8-twoshot").algorithm, qcclAlgoTwoshot);
  EXPECT_EQ(parseCommMode("int8-oneshot").algorithm, qcclAlgoOneshot);
  EXPECT_EQ(parseCommMode("int8-tree").algorithm, qcclAlgoTree);
}

TEST(CommMode, EverythingElseIsRefusedWithTheList) {
  for (const char* name : {"", "int4", "int8-", "int8-auto", "int8-star", "ring", "none-ring", "exact-ring-2"}) {
    try {
      parseCommMode(name);
      ADD_FAILURE() << "'" << name << "' was accepted";
    } catch (const TrainError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("-twoshot")) << name;
    }
  }
}

}  // namespace
}  // namespace qccl::train
