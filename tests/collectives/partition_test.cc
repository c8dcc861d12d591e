#include "collectives/partition.hpp"

#include <gtest/gtest.h>

namespace qccl::collectives {
namespace {

TEST(Partition, CoversTheMessageInOrderWithWholeBlocks) {
  for (const std::size_t block : {std::size_t{32}, std::size_t{256}, std::size_t{4096}}) {
    for (const int chunks : {1, 2, 3, 5, 8, 64}) {
      for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{257}, std::size_t{99991},
                                      std::size_t{1} << 22, (std::size_t{1} << 22) + 7}) {
        const Partition partition = Partition::even(count, chunks, block);
        std::size_t next = 0;
        std::size_t least = SIZE_MAX;
        std::size_t most = 0;
        for (int i = 0; i < chunks; ++i) {
          const Chunk chunk = partition.chunk(i);
          ASSERT_EQ(chunk.firstElem, next);
          if (chunk.elems > 0) {
            EXPECT_EQ(chunk.firstElem % block, 0u);
          }
          next += chunk.elems;
          least = std::min(least, chunk.elems);
          most = std::max(most, chunk.elems);
        }
        EXPECT_EQ(next, count);
        EXPECT_EQ(partition.maxChunkElems(), most);
        // Even up to one granule and a ragged end.
        const std::size_t granule =
            count >= 4 * static_cast<std::size_t>(chunks) * quant::frameElems(block) ? quant::frameElems(block) : block;
        EXPECT_LE(most - least, 2 * granule);
      }
    }
  }
}

TEST(Partition, CutsLargeMessagesAtFrames) {
  const Partition partition = Partition::even((std::size_t{1} << 22) + 7, 3, 256);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(partition.chunk(i).firstElem % quant::frameElems(256), 0u);
}

TEST(Partition, FixedChunksAreWhereTheCallerPutThem) {
  const Partition partition = Partition::fixed(101, 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(partition.chunk(i).firstElem, 101u * static_cast<std::size_t>(i));
    EXPECT_EQ(partition.chunk(i).elems, 101u);
  }
  EXPECT_EQ(Partition::fixed(0, 4).chunk(3).elems, 0u);
}

}  // namespace
}  // namespace qccl::collectives
