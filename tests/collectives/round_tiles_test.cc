// Tiles cover the message and lie in staging; their rounds follow one another.
#include "collectives/round_tiles.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "collectives/algorithm_table.hpp"
#include "core/error.hpp"

namespace qccl::collectives {
namespace {

RoundPlan planOf(qcclAlgo_t algorithm, int size) {
  std::vector<Schedule> schedules;
  for (int rank = 0; rank < size; ++rank) schedules.push_back(algorithmRow(algorithm).schedule(rank, {size, 0}));
  return makeRoundPlan(schedules, 0);
}

Call callOf(std::size_t count, qcclCodec_t codec, std::size_t blockElems) {
  Call call;
  call.count = count;
  call.quant.codec = codec;
  call.quant.blockElems = blockElems;
  return call;
}

TEST(RoundTiles, CoverTheMessageInWholeFramesAndFitIntoStaging) {
  for (const int size : {2, 3, 8, 32}) {
    const RoundPlan plan = planOf(qcclAlgoTwoshot, size);
    for (const qcclCodec_t codec : {qcclCodecNone, qcclCodecInt8, qcclCodecInt5, qcclCodecBf16}) {
      for (const std::size_t block : {32, 256, 4096}) {
        for (const std::size_t count : {1ul, 777ul, 100000ul, 20000003ul, 3000000019ul}) {
          const Call call = callOf(count, codec, block);
          const Partition partition = Partition::even(count, size, block);
          const RoundTiles tiles = makeRoundTiles(call, partition, plan, size, 64 << 10);
          SCOPED_TRACE(strCat("size ", size, " codec ", codec, " block ", block, " count ", count));
          EXPECT_LE(tiles.sets * static_cast<std::size_t>(plan.mostSlots) * tiles.slotBytes, kRoundStagingBytes);
          EXPECT_LE(tiles.sets, kMostRoundSets);
          EXPECT_GE(tiles.sets, 1u);
          for (int chunk = 0; chunk < size; ++chunk) {
            const Chunk whole = partition.chunk(chunk);
            std::size_t next = whole.firstElem;
            for (std::size_t tile = 0; tile < tiles.tiles; ++tile) {
              const Chunk part = tiles.part(whole, tile);
              ASSERT_TRUE(part.firstElem == next);
              next += part.elems;
              if (codec != qcclCodecNone) {
                ASSERT_LE(quant::packedBytes(part.elems, call.quant.format()), tiles.slotBytesOf(tile));
              } else {
                ASSERT_LE(part.elems * 4, tiles.slotBytesOf(tile));
              }
              if (next != whole.firstElem + whole.elems) {
                ASSERT_EQ((next - whole.firstElem) % quant::frameElems(codec == qcclCodecNone ? 4 : block), 0u);
              }
            }
            ASSERT_EQ(next, whole.firstElem + whole.elems);
          }
        }
      }
    }
  }
}

TEST(RoundTiles, SlotsOfATileFollowOneAnotherAndThoseOfTheLastAreNoLongerThanTheyNeedBe) {
  const int size = 3;
  const RoundPlan plan = planOf(qcclAlgoTwoshot, size);
  const Call call = callOf(700001, qcclCodecInt8, 256);
  const Partition partition = Partition::even(call.count, size, 256);
  const RoundTiles tiles = makeRoundTiles(call, partition, plan, size, 16 << 10);
  ASSERT_GT(tiles.tiles, tiles.sets);
  ASSERT_LT(tiles.lastSlotBytes, tiles.slotBytes / 2);
  const std::size_t last = tiles.tiles - 1;
  std::size_t largest = 0;
  for (int chunk = 0; chunk < size; ++chunk) {
    largest = std::max(largest, quant::packedBytes(tiles.part(partition.chunk(chunk), last).elems, call.quant.format()));
  }
  EXPECT_LT(tiles.lastSlotBytes, largest + 256);
  const std::size_t setBytes = static_cast<std::size_t>(plan.mostSlots) * tiles.slotBytes;
  for (std::size_t tile = 0; tile < tiles.tiles; ++tile) {
    const std::size_t first = tile % tiles.sets * setBytes;
    for (int slot = 0; slot < plan.mostSlots; ++slot) {
      const std::size_t offset = tiles.slotOffsetBytes(slot, tile, plan.mostSlots);
      EXPECT_EQ(offset % quant::kSectionAlign, 0u);
      EXPECT_EQ(offset, first + static_cast<std::size_t>(slot) * tiles.slotBytesOf(tile));
      EXPECT_LE(offset + tiles.slotBytesOf(tile), first + setBytes);
    }
  }
}

TEST(RoundTiles, AreOneForASmallMessageAndMoreForALargeOne) {
  const RoundPlan plan = planOf(qcclAlgoOneshot, 2);
  const auto tilesOf = [&](std::size_t bytes) {
    return makeRoundTiles(callOf(bytes / 4, qcclCodecInt8, 256), Partition::even(bytes / 4, 1, 256), plan, 2, 8 << 20).tiles;
  };
  EXPECT_EQ(tilesOf(1 << 10), 1u);
  EXPECT_EQ(tilesOf(16 << 20), 1u);
  EXPECT_EQ(tilesOf(64 << 20), 3u);
  EXPECT_EQ(tilesOf(256 << 20), 6u);
  EXPECT_EQ(makeRoundTiles(callOf(0, qcclCodecInt8, 256), Partition::even(0, 1, 256), plan, 2, 8 << 20).tiles, 0u);
}

TEST(RoundTiles, TurnsKeepEachTilesRoundsInOrderAndNoMoreTilesInFlightThanThereAreSlots) {
  for (const std::size_t rounds : {2, 3, 5, 15}) {
    for (const std::size_t count : {1, 2, 3, 7, 20}) {
      for (std::size_t sets = 1; sets <= std::min(count, rounds); ++sets) {
        RoundTiles tiles;
        tiles.tiles = count;
        tiles.sets = sets;
        std::vector<std::size_t> next(count, 0);
        const std::vector<Turn> turns = makeTurns(tiles, rounds);
        ASSERT_EQ(turns.size(), count * rounds);
        for (const Turn& turn : turns) {
          ASSERT_EQ(turn.round, next[turn.tile]++);
          if (turn.round == 0 && turn.tile >= sets) {
            ASSERT_EQ(next[turn.tile - sets], rounds) << "a tile's slots are taken before it is done";
          }
        }
      }
    }
  }
}

TEST(RoundTiles, ATileIsEncodedWhileTheOneBeforeTravels) {
  RoundTiles tiles;
  tiles.tiles = 3;
  tiles.sets = 2;
  EXPECT_EQ(makeTurns(tiles, 2), (std::vector<Turn>{{0, 0}, {1, 0}, {0, 1}, {2, 0}, {1, 1}, {2, 1}}));
}

}  // namespace
}  // namespace qccl::collectives
