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
  EXPECT_EQ(parseCommMode("int8-hier").algorithm, qcclAlgoHier);
}

TEST(CommMode, EveryCodecAndAlgorithmOfTheLibraryHasAName) {
  for (int codec = qcclCodecNone + 1; codec < qcclNumCodecs; ++codec) {
    const std::string name = qcclEnumName(qcclEnumCodec, codec);
    EXPECT_EQ(findCodec(name), codec);
    EXPECT_EQ(parseCommMode(name).codec, codec);
    EXPECT_EQ(parseCommMode(name).algorithm, qcclAlgoAuto);
    for (int algorithm = qcclAlgoAuto + 1; algorithm < qcclNumAlgos; ++algorithm) {
      const CommMode mode = parseCommMode(name + "-" + qcclEnumName(qcclEnumAlgo, algorithm));
      EXPECT_EQ(mode.codec, codec);
      EXPECT_EQ(mode.algorithm, algorithm);
    }
  }
  EXPECT_EQ(findCodec("none"), -1);
  EXPECT_EQ(findCodec("exact"), -1);
}

TEST(CommMode, EverythingElseIsRefusedWithTheList) {
  for (const char* name : {"", "int7", "int8-", "int8-auto", "int8-star", "ring", "none-ring", "exact-ring-2"}) {
    try {
      parseCommMode(name);
      ADD_FAILURE() << "'" << name << "' was accepted";
    } catch (const TrainError& error) {
      EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("twoshot"), testing::HasSubstr("fp8e4m3"))) << name;
    }
  }
}

}  // namespace
}  // namespace qccl::train
