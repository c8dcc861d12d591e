#include "collectives/tile_plan.hpp"

#include <algorithm>

#include "collectives/message_tag.hpp"
#include "collectives/staging.hpp"

namespace qccl::collectives {

TilePlan::TilePlan(const Execution& execution, const ExecutorOptions& options, std::uint64_t fingerprint, int rank, int size)
    : execution_(execution),
      codec_(execution.call),
      fingerprint_(fingerprint),
      rank_(rank),
      size_(size),
      slots_(static_cast<std::size_t>(execution.schedule.slots)) {
  const std::size_t granule = codec_.exact() ? 64 : quant::frameElems(call().quant.blockElems);
  const std::size_t maxChunk = execution.partition.maxChunkElems();
  tileElems_ = std::max<std::size_t>(quant::alignUp(quant::divideUp(options.tileBytes, codec_.typeBytes()), granule), granule);
  // Very large messages get larger tiles instead of more than can be numbered.
  tileElems_ = std::max(tileElems_, quant::alignUp(quant::divideUp(maxChunk, kMaxTiles - 1), granule));
  tiles_ = quant::divideUp(maxChunk, tileElems_);
  const std::size_t largest = std::min(tileElems_, maxChunk);
  placeSlots(quant::alignUp(codec_.wireBytes(largest), StagingMemory::kAlign));
  sumOffset_ = tileStagingBytes_;
  tileStagingBytes_ += quant::alignUp(largest * codec_.accumulatorBytes(), StagingMemory::kAlign);
}

Chunk TilePlan::part(std::size_t tile, int chunk) const {
  const Chunk whole = execution_.partition.chunk(chunk);
  const std::size_t first = std::min(tile * tileElems_, whole.elems);
  return {whole.firstElem + first, std::min(tileElems_, whole.elems - first)};
}

// On the exact path a slot filled from the input is the input, and a slot that becomes the result is the output.
void TilePlan::placeSlots(std::size_t slotBytes) {
  for (const Step& step : steps()) {
    if (step.slot < 0 || !codec_.exact()) continue;
    SlotUse& slot = slots_[static_cast<std::size_t>(step.slot)];
    if (step.kind == StepKind::encodeInput) slot.place = SlotPlace::input;
    if (step.kind == StepKind::decodeSlot && slot.place == SlotPlace::staging) slot.place = SlotPlace::output;
  }
  for (SlotUse& slot : slots_) {
    if (slot.place != SlotPlace::staging) continue;
    slot.stagingOffset = tileStagingBytes_;
    tileStagingBytes_ += slotBytes;
  }
}

}  // namespace qccl::collectives
