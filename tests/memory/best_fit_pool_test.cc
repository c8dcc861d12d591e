// What only the best-fit pool promises: the choice of blocks, coalescing, growth.
#include "memory/best_fit_pool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "memory/race_space.hpp"
#include "support/sentence.hpp"

namespace qccl::memory {
namespace {

using qccl::test::sentenceOf;
using test::fakeStream;
using test::RaceSpace;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::size_t kSegment = 4096;

class BestFit : public testing::Test {
 protected:
  ~BestFit() override { pool_.checkConsistency(); }
  std::byte* take(std::size_t bytes, int stream = 1) { return static_cast<std::byte*>(pool_.allocate("x", bytes, fakeStream(stream))); }
  void free(void* memory, int stream = 1) { pool_.free(memory, fakeStream(stream)); }

  RaceSpace space_;
  BestFitPool pool_{"general", space_, kSegment};
};

TEST_F(BestFit, TakesTheSmallestBlockThatIsLargeEnough) {
  std::byte* large = take(1024);
  take(256);
  std::byte* small = take(512);
  take(256);
  free(large);
  free(small);
  EXPECT_EQ(take(300), small);
  EXPECT_EQ(take(600), large);
  EXPECT_EQ(take(256), large + 768) << "the rest of a block that was split";
}

TEST_F(BestFit, JoinsFreeNeighbours) {
  std::byte* a = take(1024);
  std::byte* b = take(1024);
  std::byte* c = take(1024);
  take(1024);
  free(a);
  free(c);
  EXPECT_EQ(pool_.largestFreeBytes(), 1024u);
  free(b);
  EXPECT_EQ(pool_.largestFreeBytes(), 3072u);
  EXPECT_EQ(take(3072), a);
}

TEST_F(BestFit, GrowsBySegmentsThatStayApart) {
  std::byte* a = take(kSegment);
  std::byte* b = take(kSegment);
  std::byte* large = take(3 * kSegment);
  EXPECT_EQ(space_.allocations(), 3);
  EXPECT_EQ(pool_.usage().reservedBytes, 5 * kSegment);
  for (std::byte* memory : {a, b, large}) free(memory);
  EXPECT_EQ(pool_.largestFreeBytes(), 3 * kSegment);
  take(2 * kSegment);
  EXPECT_EQ(space_.allocations(), 3);
}

TEST_F(BestFit, WaitsOnlyForOtherStreams) {
  free(take(kSegment, 1), 1);
  std::byte* mine = take(kSegment, 1);
  EXPECT_EQ(space_.orders(), 0);
  free(mine, 1);
  std::byte* theirs = take(kSegment, 2);
  EXPECT_EQ(space_.orders(), 1);
  free(theirs, 3);  // used by 2 and 3
  take(kSegment, 2);
  EXPECT_EQ(space_.orders(), 2);
}

TEST_F(BestFit, RestoresInAnyOrder) {
  for (const char* name : {"a", "b", "c"}) pool_.save({1, name}, {100, 10}, fakeStream(1));
  for (const char* name : {"b", "a", "c"}) EXPECT_EQ(pool_.restore({1, name}, fakeStream(1)).bytes.total(), 110u);
  EXPECT_EQ(pool_.usage().usedBytes, 0u);
}

TEST_F(BestFit, ASavedTensorIsRestoredNotFreed) {
  const Place place = pool_.save({1, "a"}, {100, 10}, fakeStream(1));
  EXPECT_THAT(sentenceOf([&] { free(place.codes); }), AllOf(HasSubstr("a is a saved tensor"), HasSubstr("restore")));
}

TEST(BestFitPool, HostMemoryHasNoStreams) {
  const auto space = hostMemory();
  BestFitPool pool("general", *space, kSegment);
  EXPECT_THAT(sentenceOf([&] {
                pool.save({3, "a"}, {1, 1}, fakeStream(1));
              }),
              HasSubstr("pool general: a of micro-batch 3: the stream must be NULL"));
  EXPECT_THAT(sentenceOf([&] { pool.allocate("s", 1, fakeStream(1)); }), HasSubstr("pool general: s: the stream must be NULL"));
  pool.save({3, "a"}, {1, 1}, nullptr);
  EXPECT_THAT(sentenceOf([&] { pool.peek({3, "a"}, fakeStream(1)); }), HasSubstr("a of micro-batch 3: the stream must be NULL"));
  EXPECT_THAT(sentenceOf([&] { pool.restore({3, "a"}, fakeStream(1)); }), HasSubstr("a of micro-batch 3: the stream must be NULL"));
  void* scratch = pool.allocate("s", 1, nullptr);
  EXPECT_THAT(sentenceOf([&] { pool.free(scratch, fakeStream(1)); }), HasSubstr("pool general: s: the stream must be NULL"));
  pool.free(scratch, nullptr);  // nothing of that has changed the pool
  EXPECT_EQ(pool.usage().usedBytes, 2u);
}

TEST(BestFitPool, SaysWhatItHadNoMemoryFor) {
  const auto empty = hostMemory(std::pmr::null_memory_resource());
  BestFitPool pool("general", *empty, kSegment);
  EXPECT_THAT(sentenceOf([&] { pool.allocate("weights", 5000, nullptr); }),
              HasSubstr("pool general: weights: no 5120 bytes of host memory"));
  EXPECT_THAT(sentenceOf([&] { pool.save({0, "a"}, {10, 10}, nullptr); }), HasSubstr("pool general: a of micro-batch 0: no 4096 bytes"));
  EXPECT_EQ(pool.usage().usedBytes, 0u);
  EXPECT_THAT(sentenceOf([&] { pool.restore({0, "a"}, nullptr); }), HasSubstr("nothing of this micro-batch is saved"));
  EXPECT_THAT(sentenceOf([&] { BestFitPool("none", *empty, 0); }), HasSubstr("segments of 0 bytes"));
}

}  // namespace
}  // namespace qccl::memory
