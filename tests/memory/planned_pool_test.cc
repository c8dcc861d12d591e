// What only the planned pool promises: one allocation of exactly the plan, the stack, the ring, and few events.
#include "memory/planned_pool.hpp"

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

Ledger abc() {
  Ledger ledger;
  ledger.add({"a", 1000, formatOfBits(8)});
  ledger.add({"b", 1000, formatOfBits(4)});
  ledger.add({"c", 1000, {}});
  return ledger;
}

class Planned : public testing::Test {
 protected:
  Place save(std::uint64_t microBatch, const char* name, int stream = 1) {
    const auto index = static_cast<std::size_t>(ledger_.indexOf(name));
    return pool_.save({microBatch, name}, ledger_.entries()[index].bytes, fakeStream(stream));
  }
  Place restore(std::uint64_t microBatch, const char* name, int stream = 1) {
    return pool_.restore({microBatch, name}, fakeStream(stream));
  }
  void forward(std::uint64_t microBatch, int stream = 1) {
    for (const char* name : {"a", "b", "c"}) save(microBatch, name, stream);
  }
  void backward(std::uint64_t microBatch, int stream = 1) {
    for (const char* name : {"c", "b", "a"}) restore(microBatch, name, stream);
  }

  const Ledger ledger_ = abc();
  RaceSpace space_;
  PlannedPool pool_{"acts", PoolPlan(abc(), {2, 4096}), space_};
};

TEST_F(Planned, TakesThePlanInOneAllocation) {
  EXPECT_EQ(space_.allocations(), 1);
  EXPECT_EQ(pool_.usage().reservedBytes, pool_.plan().totalBytes());
  for (std::uint64_t step = 0; step < 5; ++step) {
    forward(step);
    backward(step);
  }
  EXPECT_EQ(space_.allocations(), 1);
}

TEST_F(Planned, SavesAtThePlannedOffsetsAndInARing) {
  const auto* base = static_cast<std::byte*>(save(0, "a").codes);
  const PoolPlan& plan = pool_.plan();
  const auto at = [&](std::size_t offset) { return static_cast<const void*>(base + offset); };
  const Place b = save(0, "b");
  EXPECT_EQ(b.codes, at(plan.codesAt(0, 1)));
  EXPECT_EQ(b.scales, at(plan.scalesAt(0, 1)));
  save(0, "c");
  EXPECT_EQ(save(1, "a").codes, at(plan.codesAt(1, 0)));
  backward(0);
  EXPECT_EQ(save(2, "a").codes, at(plan.codesAt(0, 0)));
  restore(2, "a");
  restore(1, "a");
  EXPECT_EQ(save(3, "a").codes, at(plan.codesAt(0, 0))) << "free for longest";
}

TEST_F(Planned, RefusesTheWrongOrder) {
  EXPECT_THAT(sentenceOf([&] { save(5, "b"); }),
              AllOf(HasSubstr("b of micro-batch 5 is saved out of order"), HasSubstr("the plan has a next (tensor 1 of 3)")));
  save(5, "a");
  save(5, "b");
  EXPECT_THAT(sentenceOf([&] { restore(5, "a"); }),
              AllOf(HasSubstr("a of micro-batch 5 is restored out of order"), HasSubstr("b was saved after it")));
  EXPECT_THAT(sentenceOf([&] { restore(5, "c"); }), HasSubstr("c of micro-batch 5 cannot be restored: it was not saved"));
  restore(5, "b");
  EXPECT_THAT(sentenceOf([&] { save(5, "b"); }),
              AllOf(HasSubstr("b of micro-batch 5"), HasSubstr("restoring of this micro-batch has begun")));
  EXPECT_THAT(sentenceOf([&] { restore(5, "b"); }), HasSubstr("b of micro-batch 5 cannot be restored: it was restored"));
  EXPECT_THAT(sentenceOf([&] { pool_.peek({5, "b"}, nullptr); }), HasSubstr("b of micro-batch 5 cannot be read: it was restored"));
  restore(5, "a");
  EXPECT_THAT(sentenceOf([&] { restore(5, "a"); }),
              HasSubstr("a of micro-batch 5 cannot be restored: it was restored or discarded already"));
}

TEST_F(Planned, NumbersOfMicroBatchesMayComeAgain) {
  forward(0);
  backward(0);
  save(0, "a");
  EXPECT_THAT(sentenceOf([&] { restore(0, "b"); }), HasSubstr("b of micro-batch 0 cannot be restored: it was not saved"));
  restore(0, "a");
}

TEST_F(Planned, RefusesWhatExceedsThePlan) {
  EXPECT_THAT(sentenceOf([&] { pool_.save({0, "z"}, {1, 0}, nullptr); }), HasSubstr("z of micro-batch 0 is not in the plan"));
  EXPECT_THAT(sentenceOf([&] {
                pool_.save({0, "a"}, {1009, 16}, nullptr);
              }),
              AllOf(HasSubstr("a of micro-batch 0 exceeds the plan: 1009 bytes of codes"), HasSubstr("planned are 1008 and 16")));
  forward(7);
  EXPECT_THAT(sentenceOf([&] { save(7, "a"); }), HasSubstr("a of micro-batch 7 is saved already"));
  forward(8);
  EXPECT_THAT(sentenceOf([&] { save(9, "a"); }),
              AllOf(HasSubstr("a of micro-batch 9 exceeds the plan of 2 micro-batches in flight: 7, 8"), HasSubstr("discard")));
  EXPECT_THAT(sentenceOf([&] { pool_.allocate("huge", 4097, nullptr); }),
              AllOf(HasSubstr("huge needs 4097"), HasSubstr("two halves of 4096")));
  pool_.allocate("x", 1, nullptr);
  pool_.allocate("y", 1, nullptr);
  EXPECT_THAT(sentenceOf([&] { pool_.allocate("z", 1, nullptr); }), AllOf(HasSubstr("no scratch for z"), HasSubstr("by x and y")));
}

TEST_F(Planned, OnOneStreamThereAreNoEvents) {
  for (std::uint64_t step = 0; step < 10; ++step) {
    forward(step);
    backward(step);
    pool_.free(pool_.allocate("s", 1, fakeStream(1)), fakeStream(1));
  }
  EXPECT_EQ(space_.orders(), 0);
}

TEST_F(Planned, StreamsThatDifferAreOrderedOnceAMicroBatch) {
  forward(0, 1);
  backward(0, 2);  // 2 after 1
  EXPECT_EQ(space_.orders(), 1);
  forward(1, 1);  // the other slot, fresh
  EXPECT_EQ(space_.orders(), 1);
  backward(1, 2);
  EXPECT_EQ(space_.orders(), 2);
  forward(2, 1);  // slot 0: after 2
  EXPECT_EQ(space_.orders(), 3);
}

TEST(PlannedPool, DoesNotAllocateWhatDoesNotFit) {
  RaceSpace space;
  const std::size_t total = PoolPlan(abc(), {4, 0}).totalBytes();
  EXPECT_THAT(
      sentenceOf([&] {
        PlannedPool("acts", PoolPlan(abc(), {4, 0}), space, total - 10);
      }),
      AllOf(HasSubstr("pool acts: the plan needs"), HasSubstr("10 bytes more than its limit of"), HasSubstr("Cheapest change that fits")));
  space.setFreeBytes(total - 100);
  EXPECT_THAT(sentenceOf([&] {
                PlannedPool("acts", PoolPlan(abc(), {4, 0}), space, total);
              }),
              AllOf(HasSubstr("100 bytes more than the"), HasSubstr("that are free in imagined memory")));
  EXPECT_EQ(space.allocations(), 0);
  space.setFreeBytes(total);
  PlannedPool pool("acts", PoolPlan(abc(), {4, 0}), space, total);
  EXPECT_EQ(space.allocations(), 1);
}

TEST(PlannedPool, HostMemoryHasNoStreams) {
  const auto space = hostMemory();
  PlannedPool pool("acts", PoolPlan(abc(), {1, 16}), *space);
  EXPECT_THAT(sentenceOf([&] {
                pool.save({0, "a"}, {1, 1}, fakeStream(1));
              }),
              HasSubstr("pool acts: a of micro-batch 0: the stream must be NULL"));
  EXPECT_THAT(sentenceOf([&] { pool.allocate("s", 1, fakeStream(1)); }), HasSubstr("pool acts: scratch for s: the stream must be NULL"));
  pool.save({0, "a"}, {1, 1}, nullptr);
  EXPECT_THAT(sentenceOf([&] { pool.peek({0, "a"}, fakeStream(1)); }), HasSubstr("pool acts: a of micro-batch 0: the stream must be NULL"));
  EXPECT_THAT(sentenceOf([&] { pool.restore({0, "a"}, fakeStream(1)); }), HasSubstr("a of micro-batch 0: the stream must be NULL"));
  void* scratch = pool.allocate("s", 1, nullptr);
  EXPECT_THAT(sentenceOf([&] { pool.free(scratch, fakeStream(1)); }), HasSubstr("pool acts: scratch s: the stream must be NULL"));
  pool.free(scratch, nullptr);  // nothing of that has changed the pool
  EXPECT_EQ(pool.usage().usedBytes, 2u);
}

TEST(PlannedPool, StandsOnAnyMemoryResource) {
  std::pmr::monotonic_buffer_resource buffer;
  const auto space = hostMemory(&buffer);
  PlannedPool pool("acts", PoolPlan(abc(), {1, 16}), *space);
  EXPECT_NE(pool.save({0, "a"}, {1, 1}, nullptr).codes, nullptr);

  const auto empty = hostMemory(std::pmr::null_memory_resource());
  EXPECT_THAT(sentenceOf([&] {
                PlannedPool("acts", PoolPlan(abc(), {1, 16}), *empty);
              }),
              AllOf(HasSubstr("pool acts: no "), HasSubstr("bytes of host memory: out of memory")));
}

TEST(PlannedPool, WithoutScratchSaysSo) {
  const auto space = hostMemory();
  PlannedPool pool("acts", PoolPlan(abc(), {1, 0}), *space);
  EXPECT_THAT(sentenceOf([&] { pool.allocate("s", 1, nullptr); }), HasSubstr("two halves of 0"));
  EXPECT_THAT(sentenceOf([&] { pool.free(&pool, nullptr); }), HasSubstr("no scratch of this pool"));
}

}  // namespace
}  // namespace qccl::memory
