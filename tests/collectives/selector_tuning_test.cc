// What a tuning table makes of `auto`, and what it must leave alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>

#include "collectives/noise_model.hpp"
#include "collectives/selector.hpp"
#include "core/error.hpp"

namespace qccl::collectives {
namespace {

using testing::HasSubstr;

constexpr std::size_t kElems = 1 << 16;  // 256 KiB of float32

// Four ranks of one host and a table.
class TunedSelector : public testing::Test {
 protected:
  TunedSelector() { wanted_.quant.codec = qcclCodecInt8; }

  // The rows before those built in.
  void useTable(const std::string& rows) {
    std::vector<TuningRow> all = parseTuning("test", "qccl-tuning 1\n" + rows, false);
    all.insert(all.end(), builtInTuning()->rows().begin(), builtInTuning()->rows().end());
    situation_.tuning = std::make_shared<const TuningTable>(all);
  }
  void onDevice(bool nccl) {
    situation_.devicePath = RankPath::peer;
    situation_.canUseNccl = nccl;
  }
  Choice chosen(bool requested = false, std::size_t elems = kElems, qcclColl_t coll = qcclCollAllReduce) const {
    return choose(coll, elems, qcclFloat32, qcclSum, situation_, wanted_, requested);
  }
  std::string refusal(bool requested) const {
    try {
      chosen(requested);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), qcclInvalidArgument);
      return error.what();
    }
    return "";
  }

  QuantDefaults wanted_;
  Situation situation_{RankLayout{4, 4}};
};

TEST_F(TunedSelector, SaysWhereAChoiceComesFrom) {
  EXPECT_THAT(chosen().reason, HasSubstr("quantized: int8 as configured; twoshot: taken for this size (built-in tuning table)"));
  useTable("allreduce host oneHost 4 any float32 int8 262144 asked ring -\n");
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoRing);
  EXPECT_THAT(chosen().reason, HasSubstr("ring: measured fastest up to 262144 bytes (tuning table)"));
  EXPECT_EQ(chosen(false, kElems + 1).quant.algorithm, qcclAlgoTwoshot) << "no row of the table reaches so far";
}

TEST_F(TunedSelector, GivesNcclOnGpuMemoryWhatHasNoKernels) {
  const auto algorithmOf = [&](qcclColl_t coll, qcclDataType_t dtype, qcclRedOp_t op) {
    return choose(coll, kElems, dtype, op, situation_, wanted_, false).quant.algorithm;
  };
  EXPECT_EQ(algorithmOf(qcclCollAllReduce, qcclInt32, qcclSum), qcclAlgoTwoshot);
  onDevice(false);  // whether NCCL is there is asked by who makes the call
  EXPECT_EQ(algorithmOf(qcclCollAllReduce, qcclFloat32, qcclSum), qcclAlgoTwoshot);
  for (const auto coll : {qcclCollAllReduce, qcclCollReduceScatter, qcclCollAllGather, qcclCollBroadcast, qcclCollReduce}) {
    EXPECT_EQ(algorithmOf(coll, qcclInt32, qcclSum), qcclAlgoNccl);
    EXPECT_EQ(algorithmOf(coll, qcclFloat64, qcclSum), qcclAlgoNccl);
  }
  EXPECT_EQ(algorithmOf(qcclCollReduce, qcclBfloat16, qcclMax), qcclAlgoNccl);
  EXPECT_EQ(algorithmOf(qcclCollBroadcast, qcclBfloat16, qcclMax), qcclAlgoAuto) << "reduces nothing";
  wanted_.quant.algorithm = qcclAlgoRing;
  EXPECT_EQ(algorithmOf(qcclCollAllReduce, qcclFloat32, qcclMax), qcclAlgoNccl);
  EXPECT_THAT(choose(qcclCollAllReduce, kElems, qcclInt32, qcclSum, situation_, wanted_, false).reason,
              HasSubstr("exact: int32 is not quantized, only float32, bfloat16 and float16 are; nccl: qccl's own kernels have"));
}

TEST_F(TunedSelector, TakesTheExactPathWhereThatIsFasterButNotForARequest) {
  useTable("allreduce host oneHost 4 any float32 int8 max none tree ring\n");
  const Choice exact = chosen();
  EXPECT_EQ(exact.quant.codec, qcclCodecNone);
  EXPECT_EQ(exact.quant.algorithm, qcclAlgoTree);
  EXPECT_THAT(exact.reason, HasSubstr("exact; tree: measured fastest instead of int8"));
  const Choice kept = chosen(true);
  EXPECT_EQ(kept.quant.codec, qcclCodecInt8);
  EXPECT_EQ(kept.quant.algorithm, qcclAlgoRing);
  // Nor where parts of the message have codecs of their own.
  situation_.mayReplaceCodec = false;
  EXPECT_EQ(chosen().quant.codec, qcclCodecInt8);
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoRing);
  // A row that does not know the codec's fastest algorithm is none for such calls.
  useTable("allreduce host oneHost 4 any float32 int8 max none tree -\n");
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoTwoshot);
}

TEST_F(TunedSelector, AnAlgorithmThatIsConfiguredStaysAndSoDoesItsCodec) {
  useTable("allreduce host oneHost 4 any float32 int8 max none tree ring\n");
  wanted_.quant.algorithm = qcclAlgoOneshot;
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoOneshot);
  EXPECT_EQ(chosen().quant.codec, qcclCodecInt8);
}

TEST_F(TunedSelector, ExactCallsHaveRowsOfTheirOwn) {
  useTable("allreduce host oneHost 4 any float32 none max none ring -\n");
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoTwoshot);
  wanted_.quant.codec = qcclCodecNone;
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoRing);
  wanted_.quant.codec = qcclCodecInt8;
  wanted_.minBytes = 4 * kElems + 1;
  EXPECT_EQ(chosen().quant.codec, qcclCodecNone);
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoRing);
  EXPECT_THAT(chosen().reason, HasSubstr("minBytes"));
}

TEST_F(TunedSelector, ReduceScatterHasRowsOfItsOwn) {
  EXPECT_EQ(chosen(false, kElems, qcclCollReduceScatter).quant.algorithm, qcclAlgoAuto);
  EXPECT_THAT(chosen(false, kElems, qcclCollReduceScatter).reason, HasSubstr("the direct exchange: taken for this size"));
  useTable("reducescatter host oneHost 4 any float32 int8 1048576 asked ring -\n");
  EXPECT_EQ(chosen(false, kElems, qcclCollReduceScatter).quant.algorithm, qcclAlgoRing) << "sizes are those of the whole input";
  EXPECT_EQ(chosen(false, kElems + 1, qcclCollReduceScatter).quant.algorithm, qcclAlgoAuto);
  wanted_.quant.algorithm = qcclAlgoTwoshot;
  EXPECT_EQ(chosen(false, kElems, qcclCollReduceScatter).quant.algorithm, qcclAlgoAuto);
}

TEST_F(TunedSelector, PrecisionComesBeforeSpeed) {
  const auto snrDb = [&](qcclAlgo_t algorithm) {
    Quantization quant = wanted_.quant;
    quant.algorithm = algorithm;
    return predictedSnrDb(qcclCollAllReduce, quant, situation_.found);
  };
  useTable("allreduce host oneHost 4 any float32 int8 max asked ring -\n");
  wanted_.minSnrDb = snrDb(qcclAlgoRing) - 0.1;
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoRing);
  wanted_.minSnrDb = snrDb(qcclAlgoRing) + 0.1;
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoTwoshot);
  wanted_.minSnrDb = snrDb(qcclAlgoTwoshot) + 0.1;
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoOneshot);
  EXPECT_EQ(chosen(true).quant.algorithm, qcclAlgoOneshot);
  wanted_.minSnrDb = snrDb(qcclAlgoOneshot) + 0.1;
  EXPECT_EQ(chosen().quant.codec, qcclCodecBf16);
  EXPECT_THAT(refusal(true), HasSubstr("minSnrDb"));
  // A wider codec may be slower than the exact path.
  useTable("allreduce host oneHost 4 any float32 bf16 max none tree -\n");
  EXPECT_EQ(chosen().quant.codec, qcclCodecNone);
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoTree);
}

TEST_F(TunedSelector, WhatCannotRunHereIsPassedOver) {
  useTable("allreduce host any 4 any any int8 max asked hier -\n");
  situation_.found = {4, 0};  // not known how the ranks lie
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoTwoshot);
  situation_.found = {4, 2};
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoHier);
  EXPECT_THAT(chosen().reason, HasSubstr("hier over 2 hosts of 2 ranks: measured fastest"));
}

TEST_F(TunedSelector, HandsOverToNcclWhereItCan) {
  useTable(
      "allreduce cuda peer 4 any float32 int8 262144 none nccl oneshot\n"
      "allreduce cuda peer 4 any float32 int8 max none tree twoshot\n"
      "allreduce cuda peer 4 any float32 none max none nccl -\n");
  onDevice(true);
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoNccl);
  EXPECT_EQ(chosen().quant.codec, qcclCodecNone);
  EXPECT_EQ(chosen(true).quant.algorithm, qcclAlgoOneshot);
  EXPECT_EQ(chosen(true).quant.codec, qcclCodecInt8);
  EXPECT_EQ(chosen(false, kElems + 1).quant.algorithm, qcclAlgoTree);
  onDevice(false);
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoTree) << "the next row that can be used";
  wanted_.quant.codec = qcclCodecNone;
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoTwoshot);
  onDevice(true);
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoNccl);
  situation_.mayReplaceCodec = false;  // a precision map: NCCL knows no codecs
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoTwoshot);
}

TEST_F(TunedSelector, NcclByNameIsExactOrRefused) {
  wanted_.quant.algorithm = qcclAlgoNccl;
  EXPECT_THAT(refusal(false), HasSubstr("NCCL has no calls on host memory"));
  onDevice(false);
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoNccl) << "asked for by name, what is missing is said by the call itself";
  EXPECT_EQ(chosen().quant.codec, qcclCodecNone);
  situation_.mayReplaceCodec = false;
  EXPECT_THAT(refusal(false), HasSubstr("cannot be handed over to NCCL"));
  situation_.mayReplaceCodec = true;
  EXPECT_THAT(refusal(true), HasSubstr("algorithm nccl is exact, but codec int8 was requested"));
  wanted_.quant.codec = qcclCodecNone;
  EXPECT_EQ(chosen().quant.algorithm, qcclAlgoNccl);
}

}  // namespace
}  // namespace qccl::collectives
