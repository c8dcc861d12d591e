#include "data/loader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "data/bpe_trainer.hpp"
#include "data/permutation.hpp"
#include "support/sentence.hpp"
#include "support/temporary_folder.hpp"

namespace qccl::train {
namespace {

using testing::HasSubstr;

// Token i of the file is i % 251, which tells where a window begins.
class LoaderTest : public testing::Test {
 protected:
  std::string write(std::size_t tokens) {
    TokenFileWriter writer(folder_.path("t.bin"), BpeTrainer().train(257));
    std::vector<TokenId> ids(tokens);
    for (std::size_t i = 0; i < tokens; ++i) ids[i] = static_cast<TokenId>(i % 251);
    writer.append(ids, tokens);
    writer.finish();
    return folder_.path("t.bin");
  }
  test::TemporaryFolder folder_;
};

TEST(Permutation, IsABijectionForEverySize) {
  for (std::uint64_t size = 1; size < 300; ++size) {
    std::set<std::uint64_t> seen;
    const Permutation permutation(size, size * 31);
    for (std::uint64_t i = 0; i < size; ++i) seen.insert(permutation(i));
    EXPECT_EQ(seen.size(), size);
    EXPECT_EQ(*seen.rbegin(), size - 1);
  }
}

TEST(Permutation, KeysGiveDifferentOrders) {
  std::size_t same = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) same += Permutation(1000, 1)(i) == Permutation(1000, 2)(i) ? 1 : 0;
  EXPECT_LT(same, 20u);  // 1 is expected of independent orders
}

TEST_F(LoaderTest, TargetsAreTheInputsShiftedByOne) {
  const TokenFile file(write(100));
  const Loader loader(file, 9, 2, 0, 1, {1, 0});
  EXPECT_EQ(loader.windows(), 11u);
  Batch batch;
  loader.microBatch(0, batch);
  ASSERT_EQ(batch.inputs.size(), 18u);
  for (std::size_t row = 0; row < 2; ++row) {
    EXPECT_EQ(batch.inputs[row * 9], static_cast<TokenId>(loader.windowOf(row) * 9));
    for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(batch.targets[row * 9 + i], batch.inputs[row * 9 + i] + 1);
  }
}

TEST_F(LoaderTest, AnEpochTakesEveryWindowOnceOverAllRanks) {
  const TokenFile file(write(1 + 24 * 5));  // 24 windows
  for (const int worldSize : {1, 2, 3, 4}) {
    std::multiset<TokenId> first, second;
    std::vector<std::unique_ptr<Loader>> ranks;
    for (int rank = 0; rank < worldSize; ++rank) ranks.push_back(std::make_unique<Loader>(file, 5, 2, rank, worldSize, LoaderState{9, 0}));
    const std::size_t steps = 24 / (static_cast<std::size_t>(worldSize) * 2);
    for (std::size_t step = 0; step < 2 * steps; ++step) {
      for (auto& rank : ranks) {
        Batch batch;
        rank->microBatch(0, batch);
        for (std::size_t row = 0; row < 2; ++row) (step < steps ? first : second).insert(batch.inputs[row * 5]);
        rank->advance(1);
      }
    }
    std::multiset<TokenId> all;
    for (TokenId window = 0; window < 24; ++window) all.insert(window * 5);
    EXPECT_EQ(first, all) << worldSize << " ranks";
    EXPECT_EQ(second, all) << worldSize << " ranks";
  }
}

TEST_F(LoaderTest, EpochsHaveDifferentOrders) {
  const TokenFile file(write(1 + 50 * 4));
  const Loader loader(file, 4, 1, 0, 1, {3, 0});
  std::size_t same = 0;
  for (std::uint64_t i = 0; i < 50; ++i) same += loader.windowOf(i) == loader.windowOf(50 + i) ? 1 : 0;
  EXPECT_LT(same, 10u);
}

TEST_F(LoaderTest, TheStepsSamplesDependOnTheGlobalBatchAlone) {
  const TokenFile file(write(1000));
  const auto stepOf = [&](int worldSize, std::size_t sequences, std::size_t micros, std::uint64_t samples) {
    std::multiset<TokenId> starts;
    for (int rank = 0; rank < worldSize; ++rank) {
      const Loader loader(file, 5, sequences, rank, worldSize, {4, samples});
      for (std::size_t micro = 0; micro < micros; ++micro) {
        Batch batch;
        loader.microBatch(micro, batch);
        for (std::size_t row = 0; row < sequences; ++row) starts.insert(batch.inputs[row * 5]);
      }
    }
    return starts;
  };
  EXPECT_EQ(stepOf(1, 8, 1, 16), stepOf(2, 4, 1, 16));
  EXPECT_EQ(stepOf(1, 8, 1, 16), stepOf(4, 1, 2, 16));
  EXPECT_NE(stepOf(1, 8, 1, 16), stepOf(1, 8, 1, 24));
}

TEST_F(LoaderTest, ResumesExactlyAlsoAtAnotherWorldSize) {
  const TokenFile file(write(500));
  Loader whole(file, 5, 4, 0, 1, {6, 0});
  for (int step = 0; step < 7; ++step) whole.advance(1);
  Loader resumed(file, 5, 2, 1, 2, whole.state());
  Batch expected, batch;
  whole.microBatch(0, expected);
  resumed.microBatch(0, batch);
  // Rank 1 of 2 has the second half of what one rank would have.
  EXPECT_EQ(batch.inputs, std::vector<TokenId>(expected.inputs.begin() + 10, expected.inputs.end()));
  resumed.advance(1);
  whole.advance(1);
  EXPECT_EQ(resumed.state(), whole.state());
}

TEST_F(LoaderTest, EvaluationReadsTheFileInOrderAndStopsAtItsEnd) {
  const TokenFile file(write(32));
  Batch batch;
  EXPECT_EQ(windowCount(file, 10), 3u);
  EXPECT_EQ(readWindows(file, 10, 0, 2, batch), 2u);
  EXPECT_EQ(batch.inputs[10], 10);
  EXPECT_EQ(readWindows(file, 10, 2, 2, batch), 1u);
  EXPECT_EQ(batch.inputs.size(), 10u);
  EXPECT_EQ(batch.targets.back(), 30);
  EXPECT_EQ(readWindows(file, 10, 4, 2, batch), 0u);
}

TEST_F(LoaderTest, TooFewTokensIsASentence) {
  const TokenFile file(write(10));
  EXPECT_THAT(test::sentenceOf([&] { Loader(file, 10, 1, 0, 1, {}); }), HasSubstr("too few for one sequence of 10"));
}

}  // namespace
}  // namespace qccl::train
