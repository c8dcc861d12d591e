#include "collectives/round_tiles.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "collectives/tile_codec.hpp"
#include "core/error.hpp"
#include "core/types.hpp"

namespace qccl::collectives {
namespace {

constexpr std::size_t kSlotAlign = 256;

// What does not overlap with messages is the coding of the first and the last tile, which is 1/n of all of it with n tiles; and each group
// of messages costs the time in which the wire runs empty. Their sum is least at a number of tiles that grows as the root of the message.
std::size_t wantedTiles(std::size_t messageBytes, std::size_t unitBytes) {
  const double units = static_cast<double>(messageBytes) / static_cast<double>(unitBytes);
  return std::max<std::size_t>(static_cast<std::size_t>(std::lround(std::sqrt(units))), 1);
}

}  // namespace

RoundTiles makeRoundTiles(const Call& call, const Partition& partition, const RoundPlan& plan, int ranks, std::size_t unitBytes) {
  const TileCodec codec(call);
  RoundTiles result;
  const std::size_t maxChunk = partition.maxChunkElems();
  if (maxChunk == 0) return result;
  const std::size_t granule = codec.exact() ? 64 : quant::frameElems(call.quant.blockElems);
  const std::size_t granuleBytes = codec.wireBytes(Chunk{0, granule});
  const auto slots = static_cast<std::size_t>(std::max(plan.mostSlots, 1));
  // As many tiles in flight as there are rounds, if there is room for one granule of each.
  result.sets = std::min(plan.rounds.size(), kMostRoundSets);
  const auto limit = [&] { return kRoundStagingBytes / (result.sets * slots) / kSlotAlign * kSlotAlign; };
  while (result.sets > 1 && limit() < granuleBytes) --result.sets;
  if (limit() < granuleBytes) {
    fail(qcclInvalidArgument, "this algorithm has ", slots, " messages of blocks of ", call.quant.blockElems, " on the way between ", ranks,
         " ranks, more than the ", kRoundStagingBytes >> 20, " MiB for them; use smaller blocks or another algorithm");
  }
  const std::size_t largest = limit() / granuleBytes * granule;  // a granule's bytes are a multiple of every section's alignment
  const std::size_t wanted = wantedTiles(messageElems(call, ranks) * typeSize(call.dtype), unitBytes);
  result.tiles = std::max(wanted, quant::divideUp(maxChunk, largest));
  result.tileElems = quant::alignUp(quant::divideUp(maxChunk, result.tiles), granule);
  result.tiles = quant::divideUp(maxChunk, result.tileElems);
  result.sets = std::min(result.sets, result.tiles);
  const auto slotBytes = [&](std::size_t tile) {
    return quant::alignUp(codec.wireBytes(result.part(Chunk{0, maxChunk}, tile)), kSlotAlign);
  };
  result.slotBytes = slotBytes(0);
  result.lastSlotBytes = slotBytes(result.tiles - 1);
  return result;
}

std::vector<Turn> makeTurns(const RoundTiles& tiles, std::size_t rounds) {
  // Tile k is in round r at time k * spacing + r. Its slots are another's at k + sets, whose first round comes after its last.
  const std::size_t spacing = quant::divideUp(rounds, tiles.sets);
  std::vector<Turn> turns;
  turns.reserve(tiles.tiles * rounds);
  for (std::size_t tile = 0; tile < tiles.tiles; ++tile) {
    for (std::size_t round = 0; round < rounds; ++round)
      turns.push_back({static_cast<std::uint32_t>(tile), static_cast<std::uint32_t>(round)});
  }
  const auto time = [&](const Turn& turn) { return turn.tile * spacing + turn.round; };
  std::sort(turns.begin(), turns.end(), [&](const Turn& a, const Turn& b) {
    return std::tuple(time(a), a.round) < std::tuple(time(b), b.round);  // the youngest tile first
  });
  return turns;
}

}  // namespace qccl::collectives
