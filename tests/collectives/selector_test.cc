#include "collectives/selector.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>
#include <tuple>

#include "collectives/noise_model.hpp"
#include "core/error.hpp"

namespace qccl::collectives {
namespace {

QuantDefaults int8Defaults() {
  QuantDefaults wanted;
  wanted.quant.codec = qcclCodecInt8;
  wanted.minBytes = 16384;
  return wanted;
}

RankLayout onOneHost(int size) { return {size, size}; }

TEST(Selector, QuantizesOnlyWhatTheCodecIsDefinedFor) {
  const QuantDefaults wanted = int8Defaults();
  EXPECT_EQ(choose(qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, onOneHost(4), wanted, false).quant.codec, qcclCodecInt8);
  EXPECT_EQ(choose(qcclCollAllReduce, 1 << 20, qcclBfloat16, qcclAvg, onOneHost(4), wanted, false).quant.codec, qcclCodecInt8);
  EXPECT_EQ(choose(qcclCollReduceScatter, 1 << 20, qcclFloat16, qcclSum, onOneHost(4), wanted, false).quant.codec, qcclCodecInt8);
  for (const auto& [coll, dtype, op] :
       {std::tuple{qcclCollAllReduce, qcclInt32, qcclSum}, std::tuple{qcclCollAllReduce, qcclFloat64, qcclSum},
        std::tuple{qcclCollAllReduce, qcclFloat32, qcclMax}, std::tuple{qcclCollAllGather, qcclFloat32, qcclSum}}) {
    const Choice choice = choose(coll, 1 << 20, dtype, op, onOneHost(4), wanted, false);
    EXPECT_EQ(choice.quant.codec, qcclCodecNone);
    EXPECT_NE(choice.reason.find("exact"), std::string::npos);
    try {
      choose(coll, 1 << 20, dtype, op, onOneHost(4), wanted, true);
      ADD_FAILURE() << "an explicit request that cannot be met was not refused";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), qcclInvalidArgument);
    }
  }
}

TEST(Selector, SmallMessagesAndSingleRanksAreExact) {
  const QuantDefaults wanted = int8Defaults();
  EXPECT_EQ(choose(qcclCollAllReduce, 4095, qcclFloat32, qcclSum, onOneHost(4), wanted, true).quant.codec, qcclCodecNone);
  EXPECT_EQ(choose(qcclCollAllReduce, 4096, qcclFloat32, qcclSum, onOneHost(4), wanted, true).quant.codec, qcclCodecInt8);
  EXPECT_EQ(choose(qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, onOneHost(1), wanted, true).quant.codec, qcclCodecNone);
  // Reduce-scatter counts its whole input.
  EXPECT_EQ(choose(qcclCollReduceScatter, 1024, qcclFloat32, qcclSum, onOneHost(4), wanted, true).quant.codec, qcclCodecInt8);
}

TEST(Selector, ChoosesAnAlgorithmOnlyWhereNoneIsConfigured) {
  QuantDefaults wanted = int8Defaults();
  EXPECT_EQ(choose(qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, onOneHost(2), wanted, false).quant.algorithm, qcclAlgoOneshot);
  EXPECT_EQ(choose(qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, onOneHost(8), wanted, false).quant.algorithm, qcclAlgoTwoshot);
  EXPECT_EQ(choose(qcclCollAllReduce, 16, qcclFloat32, qcclSum, onOneHost(4), wanted, false).quant.algorithm, qcclAlgoOneshot);
  EXPECT_EQ(choose(qcclCollAllReduce, 16, qcclFloat32, qcclSum, onOneHost(64), wanted, false).quant.algorithm, qcclAlgoTree);
  wanted.quant.algorithm = qcclAlgoRing;
  EXPECT_EQ(choose(qcclCollAllReduce, 16, qcclFloat32, qcclSum, onOneHost(64), wanted, false).quant.algorithm, qcclAlgoRing);
  EXPECT_EQ(choose(qcclCollReduceScatter, 1 << 20, qcclFloat32, qcclSum, onOneHost(4), wanted, false).quant.algorithm, qcclAlgoRing);
}

TEST(Selector, TakesHierOnlyWhereSeveralHostsHaveSeveralRanksEach) {
  QuantDefaults wanted = int8Defaults();
  const auto algorithm = [&](const RankLayout& ranks) {
    return choose(qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, ranks, wanted, false).quant.algorithm;
  };
  EXPECT_EQ(algorithm({8, 4}), qcclAlgoHier);
  EXPECT_EQ(algorithm({4, 2}), qcclAlgoHier);
  for (const RankLayout& ranks : {RankLayout{8, 8}, {8, 1}, {8, 0}, {4, 4}}) EXPECT_EQ(algorithm(ranks), qcclAlgoTwoshot);
  EXPECT_EQ(choose(qcclCollAllReduce, 16, qcclFloat32, qcclSum, RankLayout{8, 4}, wanted, false).quant.algorithm, qcclAlgoOneshot);
  // What is configured replaces what was found.
  wanted.quant.ranksPerHost = 2;
  EXPECT_EQ(algorithm({8, 8}), qcclAlgoHier);
  EXPECT_EQ(algorithm({7, 7}), qcclAlgoTwoshot);  // 2 does not divide 7
  const Choice choice = choose(qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, RankLayout{8, 0}, wanted, false);
  EXPECT_EQ(choice.quant.ranksPerHost, 2);
  EXPECT_NE(choice.reason.find("4 hosts of 2 ranks"), std::string::npos) << choice.reason;
}

TEST(Selector, RefusesHierWhereTheRanksDoNotLieAsItNeeds) {
  QuantDefaults wanted = int8Defaults();
  wanted.quant.algorithm = qcclAlgoHier;
  const auto refusal = [&](const RankLayout& ranks) -> std::string {
    try {
      choose(qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, ranks, wanted, false);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), qcclInvalidArgument);
      return error.what();
    }
    return "";
  };
  for (const RankLayout& ranks : {RankLayout{8, 4}, {8, 8}, {8, 1}, {1, 1}}) EXPECT_EQ(refusal(ranks), "");
  EXPECT_NE(refusal({8, 0}).find("QCCL_RANKS_PER_HOST"), std::string::npos);
  wanted.quant.ranksPerHost = 3;
  EXPECT_EQ(refusal({9, 0}), "");
  EXPECT_NE(refusal({8, 4}).find("ranksPerHost = 3 does not divide the 8 ranks"), std::string::npos);
}

TEST(Selector, TakesTheCheapestAlgorithmThatIsPreciseEnough) {
  QuantDefaults wanted = int8Defaults();
  const RankLayout ranks{4, 4};
  const auto snrDb = [&](qcclAlgo_t algorithm) {
    Quantization quant = wanted.quant;
    quant.algorithm = algorithm;
    return predictedSnrDb(qcclCollAllReduce, quant, ranks);
  };
  const auto chosen = [&](double minSnrDb, bool requested = false) {
    wanted.minSnrDb = minSnrDb;
    return choose(qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, ranks, wanted, requested);
  };
  ASSERT_GT(snrDb(qcclAlgoOneshot), snrDb(qcclAlgoTwoshot) + 2);
  EXPECT_EQ(chosen(snrDb(qcclAlgoTwoshot) - 0.1).quant.algorithm, qcclAlgoTwoshot);
  EXPECT_EQ(chosen(snrDb(qcclAlgoTwoshot) + 0.1).quant.algorithm, qcclAlgoOneshot);
  EXPECT_EQ(chosen(snrDb(qcclAlgoTwoshot) + 0.1).quant.codec, qcclCodecInt8);
  // More than int8 can give: the next wider codec, then exact, unless the codec was asked for.
  EXPECT_EQ(chosen(snrDb(qcclAlgoOneshot) + 0.1).quant.codec, qcclCodecBf16);
  const Choice exact = chosen(70);
  EXPECT_EQ(exact.quant.codec, qcclCodecNone);
  EXPECT_EQ(exact.quant.algorithm, qcclAlgoTwoshot);
  EXPECT_NE(exact.reason.find("minSnrDb"), std::string::npos) << exact.reason;
  EXPECT_EQ(chosen(snrDb(qcclAlgoOneshot) - 0.1, true).quant.algorithm, qcclAlgoOneshot);
  try {
    chosen(snrDb(qcclAlgoOneshot) + 0.1, true);
    ADD_FAILURE() << "a codec that cannot give what is asked for was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), qcclInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("minSnrDb"), std::string::npos) << error.what();
  }
  // An algorithm that was asked for stays.
  wanted.quant.algorithm = qcclAlgoRing;
  EXPECT_EQ(chosen(snrDb(qcclAlgoRing) - 0.1).quant.codec, qcclCodecInt8);
  EXPECT_EQ(chosen(snrDb(qcclAlgoRing) + 0.1).quant.codec, qcclCodecBf16);
  EXPECT_EQ(chosen(70).quant.codec, qcclCodecNone);
  EXPECT_EQ(chosen(70).quant.algorithm, qcclAlgoRing);
}

TEST(Selector, TakesTheShortestCodecThatIsPreciseEnough) {
  QuantDefaults wanted = int8Defaults();
  const auto codecFor = [&](qcclCodec_t configured, double minSnrDb, qcclDataType_t dtype = qcclFloat32) {
    wanted.quant.codec = configured;
    wanted.minSnrDb = minSnrDb;
    return choose(qcclCollAllReduce, 1 << 20, dtype, qcclSum, onOneHost(4), wanted, false).quant.codec;
  };
  EXPECT_EQ(codecFor(qcclCodecInt4, 10), qcclCodecInt4);
  EXPECT_EQ(codecFor(qcclCodecInt4, 22), qcclCodecInt5);
  EXPECT_EQ(codecFor(qcclCodecFp4E2m1, 28), qcclCodecInt6);
  EXPECT_EQ(codecFor(qcclCodecInt5, 38), qcclCodecInt8);
  EXPECT_EQ(codecFor(qcclCodecFp8E4m3, 38), qcclCodecInt8);
  EXPECT_EQ(codecFor(qcclCodecInt6, 48), qcclCodecBf16);
  EXPECT_EQ(codecFor(qcclCodecInt6, 48, qcclBfloat16), qcclCodecNone) << "bf16 saves nothing there";
}

TEST(Selector, NeverSendsMoreThanTheExactPathForPrecision) {
  QuantDefaults wanted = int8Defaults();
  wanted.minSnrDb = 42.5;  // oneshot alone has it
  EXPECT_EQ(choose(qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, onOneHost(7), wanted, false).quant.algorithm, qcclAlgoOneshot);
  EXPECT_EQ(choose(qcclCollAllReduce, 1 << 20, qcclFloat32, qcclSum, onOneHost(8), wanted, false).quant.codec, qcclCodecBf16);
  EXPECT_EQ(choose(qcclCollAllReduce, 1 << 20, qcclBfloat16, qcclSum, onOneHost(4), wanted, false).quant.codec, qcclCodecNone);
}

TEST(Selector, RefusesConfigurationsOutOfRange) {
  const QuantDefaults defaults = int8Defaults();
  const auto refused = [&](auto change) {
    qcclQuantConfig_t config = QCCL_QUANT_CONFIG_INITIALIZER;
    change(config);
    try {
      resolve(config, defaults);
    } catch (const Error& error) {
      return error.code() == qcclInvalidArgument;
    }
    return false;
  };
  EXPECT_TRUE(refused([](auto& c) { c.codec = 77; }));
  EXPECT_TRUE(refused([](auto& c) { c.algorithm = -1; }));
  EXPECT_TRUE(refused([](auto& c) { c.rounding = 2; }));
  for (const int block : {0, -256, 16, 100, 8192}) EXPECT_TRUE(refused([&](auto& c) { c.blockElems = block; })) << block;
  EXPECT_FALSE(refused([](auto& c) { c.blockElems = 32; }));
  EXPECT_TRUE(refused([](auto& c) { c.ranksPerHost = -1; }));
  for (const double snr : {201.0, HUGE_VAL, std::nan("")}) EXPECT_TRUE(refused([&](auto& c) { c.minSnrDb = snr; })) << snr;
  EXPECT_FALSE(refused([](auto& c) { c.minSnrDb = 40.5; }));
  EXPECT_TRUE(refused([](auto& c) { c.inspectEvery = -1; }));
  EXPECT_FALSE(refused([](auto& c) { c.inspectEvery = 1; }));
  EXPECT_FALSE(refused([](auto& c) { c.ranksPerHost = 0; }));
}

TEST(Selector, ReadsAnOlderStructAsFarAsItReaches) {
  qcclQuantConfig_t config = QCCL_QUANT_CONFIG_INITIALIZER;
  config.codec = qcclCodecInt4;
  config.size = offsetof(qcclQuantConfig_t, scale);  // of a program that knew no more
  config.scale = 99;
  config.errorFeedback = 99;
  EXPECT_EQ(resolve(config, int8Defaults()).quant.codec, qcclCodecInt4);
  EXPECT_EQ(resolve(config, int8Defaults()).quant.scale, qcclScaleFloat32);
  qcclQuantConfig_t zeros;
  std::memset(&zeros, 0, sizeof(zeros));
  try {
    resolve(zeros, int8Defaults());
    ADD_FAILURE() << "a struct that was not initialized was accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("QCCL_QUANT_CONFIG_INITIALIZER"), std::string::npos);
  }
}

TEST(Selector, FieldsOfTheCallReplaceTheDefaults) {
  qcclQuantConfig_t config = QCCL_QUANT_CONFIG_INITIALIZER;
  config.codec = qcclCodecNone;
  config.minBytes = 0;
  const QuantDefaults result = resolve(config, int8Defaults());
  EXPECT_EQ(result.quant.codec, qcclCodecNone);
  EXPECT_EQ(result.minBytes, 0u);
  EXPECT_EQ(result.quant.blockElems, 256u);
}

}  // namespace
}  // namespace qccl::collectives
