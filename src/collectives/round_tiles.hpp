// How a message is cut into tiles that go through the rounds of a plan (rounds.hpp) one behind another, so that one tile is coded while
// another travels. A function of the call alone: every rank cuts alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "collectives/call.hpp"
#include "collectives/partition.hpp"
#include "collectives/rounds.hpp"

namespace qccl::collectives {

// Memory for the messages of all tiles in flight, for a communicator: what tiles are bounded by.
inline constexpr std::size_t kRoundStagingBytes = std::size_t{64} << 20;

// Tiles in flight, at most.
inline constexpr std::size_t kMostRoundSets = 4;

struct RoundTiles {
  std::size_t tileElems = 0;  // of each chunk
  std::size_t tiles = 0;
  std::size_t slotBytes = 0;      // of staging, for the message of a tile's part of a chunk
  std::size_t lastSlotBytes = 0;  // of the last tile, which can be shorter
  std::size_t sets = 1;           // of slots: tiles in flight, at most kMostRoundSets

  // From one slot of a tile to the next, and what each rank's part of an all-gather carries: as much as the message of the largest chunk
  // needs, since NCCL wants parts of one length that lie without gaps.
  std::size_t slotBytesOf(std::size_t tile) const { return tile + 1 < tiles ? slotBytes : lastSlotBytes; }

  // Where a slot of a tile begins in staging; `mostSlots`: the plan's.
  std::size_t slotOffsetBytes(int slot, std::size_t tile, int mostSlots) const {
    return tile % sets * static_cast<std::size_t>(mostSlots) * slotBytes + static_cast<std::size_t>(slot) * slotBytesOf(tile);
  }

  // The part of a chunk that is in a tile; elements count from the start of the message.
  Chunk part(const Chunk& whole, std::size_t tile) const {
    const std::size_t first = tile * tileElems < whole.elems ? tile * tileElems : whole.elems;
    const std::size_t left = whole.elems - first;
    return {whole.firstElem + first, left < tileElems ? left : tileElems};
  }
};

// `unitBytes`: as many tiles as the square root of how often this goes into the message, more where staging memory asks for it. Throws
// Error(qcclInvalidArgument) if not even the smallest tiles fit into that.
RoundTiles makeRoundTiles(const Call& call, const Partition& partition, const RoundPlan& plan, int ranks, std::size_t unitBytes);

// What is done next: a round of a tile.
struct Turn {
  std::uint32_t tile;
  std::uint32_t round;

  bool operator==(const Turn&) const = default;
};

// All rounds of all tiles, in the order in which every rank does them: a tile's first round before later rounds of the tiles before it, so
// that its messages are on their way while those are summed; and never more than `sets` tiles between their first and their last round.
std::vector<Turn> makeTurns(const RoundTiles& tiles, std::size_t rounds);

}  // namespace qccl::collectives
