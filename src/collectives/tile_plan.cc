#include "collectives/tile_plan.hpp"

#include <algorithm>

#include "collectives/message_tag.hpp"
#include "collectives/staging.hpp"

namespace qccl::collectives {
namespace {

// Exact tiles are not computed on much, so fewer and larger ones pay, as long as what is staged of all chunks stays small. Between two
// ranks over shared memory tiles of 1 MiB took 5 to 30 % less time than tiles of 256 KiB (1 to 16 MiB of float32); quantized tiles were
// best as they are, in the second-level cache.
std::size_t tileBytes(const ExecutorOptions& options, bool exact, int size) {
  constexpr std::size_t kExactChunks = 8;
  const auto chunks = static_cast<std::size_t>(size);
  return exact && chunks < kExactChunks ? options.tileBytes * (kExactChunks / chunks) : options.tileBytes;
}

}  // namespace

TilePlan::TilePlan(const Execution& execution, const ExecutorOptions& options, std::uint64_t fingerprint, int rank, int size)
    : execution_(execution),
      codec_(execution.call),
      fingerprint_(fingerprint),
      rank_(rank),
      size_(size),
      slots_(static_cast<std::size_t>(execution.schedule.slots)) {
  const std::size_t granule = codec_.exact() ? 64 : quant::frameElems(call().quant.blockElems);
  const std::size_t maxChunk = execution.partition.maxChunkElems();
  const std::size_t wanted = quant::divideUp(tileBytes(options, codec_.exact(), size), codec_.typeBytes());
  tileElems_ = std::max<std::size_t>(quant::alignUp(wanted, granule), granule);
  // Very large messages get larger tiles instead of more than can be numbered.
  tileElems_ = std::max(tileElems_, quant::alignUp(quant::divideUp(maxChunk, kMaxTiles - 1), granule));
  tiles_ = quant::divideUp(maxChunk, tileElems_);
  const std::size_t largest = std::min(tileElems_, maxChunk);
  placeSlots(quant::alignUp(largestPart([&](const Chunk& part) { return codec_.wireBytes(part); }), StagingMemory::kAlign));
  sumOffset_ = tileStagingBytes_;
  tileStagingBytes_ += quant::alignUp(largest * codec_.accumulatorBytes(), StagingMemory::kAlign);
  if (!codec_.exact() && call().quant.errorFeedback) numberEncodings();
}

template <typename BytesOf>
std::size_t TilePlan::largestPart(BytesOf bytesOf) const {
  const std::size_t largest = std::min(tileElems_, execution_.partition.maxChunkElems());
  if (call().map == nullptr) return bytesOf(Chunk{0, largest});
  std::size_t most = 0;
  for (int chunk = 0; chunk < execution_.partition.chunks(); ++chunk) {
    for (std::size_t tile = 0; tile < tiles_; ++tile) most = std::max(most, bytesOf(part(tile, chunk)));
  }
  return most;
}

void TilePlan::numberEncodings() {
  encodingNumbers_.assign(steps().size(), 0);
  for (std::size_t i = 0; i < steps().size(); ++i) {
    encodingNumbers_[i] = encodings_;
    const bool codesInput = steps()[i].kind == StepKind::encodeInput && !codec_.inputIsWire();
    if (codesInput || steps()[i].kind == StepKind::encodeSum) ++encodings_;
  }
  tileResidualBytes_ = largestPart([&](const Chunk& part) { return codec_.residualBytes(part); });
}

Chunk TilePlan::part(std::size_t tile, int chunk) const {
  const Chunk whole = execution_.partition.chunk(chunk);
  const std::size_t first = std::min(tile * tileElems_, whole.elems);
  return {whole.firstElem + first, std::min(tileElems_, whole.elems - first)};
}

// Where the input lies as it travels, a slot filled from it is the input itself; where the output does, a slot that becomes the result is
// the output.
void TilePlan::placeSlots(std::size_t slotBytes) {
  for (const Step& step : steps()) {
    if (step.slot < 0) continue;
    SlotUse& slot = slots_[static_cast<std::size_t>(step.slot)];
    if (codec_.inputIsWire() && step.kind == StepKind::encodeInput) slot.place = SlotPlace::input;
    if (codec_.outputIsWire() && step.kind == StepKind::decodeSlot && slot.place == SlotPlace::staging) slot.place = SlotPlace::output;
  }
  for (SlotUse& slot : slots_) {
    if (slot.place != SlotPlace::staging) continue;
    slot.stagingOffset = tileStagingBytes_;
    tileStagingBytes_ += slotBytes;
  }
}

}  // namespace qccl::collectives
