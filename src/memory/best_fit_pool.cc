#include "memory/best_fit_pool.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace qccl::memory {
namespace {

std::size_t aligned(std::size_t bytes) { return (bytes + kPlaceAlign - 1) / kPlaceAlign * kPlaceAlign; }

}  // namespace

BestFitPool::BestFitPool(std::string name, MemorySpace& space, std::size_t segmentBytes)
    : name_(std::move(name)), owner_("pool " + name_), space_(space), segmentBytes_(aligned(segmentBytes)) {
  if (segmentBytes == 0 || segmentBytes > kMaxElems) {
    fail(qcclInvalidArgument, owner_, ": segments of ", segmentBytes, " bytes; take 1 to ", kMaxElems);
  }
}

std::string BestFitPool::the(const TensorId& id) const { return strCat(owner_, ": ", describe(id)); }

std::byte* BestFitPool::take(std::string_view name, std::size_t bytes, StreamHandle stream, const TensorId* saved) {
  if (bytes == 0 || bytes > kMaxElems) fail(qcclInvalidUsage, owner_, ": ", name, " asks for ", bytes, " bytes; ask for 1 to ", kMaxElems);
  const std::size_t needed = aligned(bytes);
  FreeBlocks::Entry* block = blocks_.bestFit(needed);
  if (block == nullptr) {
    segments_.emplace_back(saved == nullptr ? strCat(owner_, ": ", name) : the(*saved), space_, std::max(needed, segmentBytes_));
    reservedBytes_ += segments_.back().bytes();
    blocks_.addSegment(segments_.back().at(0), segments_.back().bytes());
    block = blocks_.bestFit(needed);
  }
  orderAfter(space_, block->second.streams, stream);
  blocks_.take(*block, needed, {std::string(name), bytes}, saved != nullptr);
  block->second.streams.clear();
  block->second.streams.add(stream);
  usedBytes_ += bytes;
  return block->first;
}

void BestFitPool::giveBack(void* memory, const StreamSet& streams) {
  FreeBlocks::Entry* block = blocks_.at(memory);
  QCCL_CHECK(block != nullptr && block->second.taken);
  usedBytes_ -= block->second.user.bytes;
  block->second.streams.add(streams);
  freedLast_[frees_++ % freedLast_.size()] = {memory, block->second.user.name};
  blocks_.giveBack(*block);
}

void BestFitPool::giveBackPlace(const Place& place) {
  for (void* memory : {place.codes, place.scales}) {
    if (memory != nullptr) giveBack(memory, {});
  }
}

Place BestFitPool::save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) {
  requireStream(space_, stream, [&] { return the(id); });
  MicroBatch& saved = microBatches_[id.microBatch];
  if (saved.find(id.name) != saved.end()) fail(qcclInvalidUsage, the(id), " is saved already; each tensor is saved once");
  Place place{nullptr, nullptr, bytes};
  try {
    place.codes = take(id.name, bytes.codes, stream, &id);
    if (bytes.scales > 0) place.scales = take(id.name, bytes.scales, stream, &id);
    saved.emplace(std::string(id.name), Saved{place, stream, saves_++});
  } catch (...) {
    giveBackPlace(place);
    forgetIfEmpty(id.microBatch);
    throw;
  }
  return place;
}

BestFitPool::MicroBatch::iterator BestFitPool::readable(const TensorId& id, StreamHandle stream, const char* what) {
  requireStream(space_, stream, [&] { return the(id); });
  const auto batch = microBatches_.find(id.microBatch);
  if (batch == microBatches_.end()) {
    fail(qcclInvalidUsage, the(id), " cannot be ", what, ": nothing of this micro-batch is saved, or no longer");
  }
  const auto saved = batch->second.find(id.name);
  if (saved == batch->second.end()) {
    fail(qcclInvalidUsage, the(id), " cannot be ", what, ": it was not saved, or was restored already");
  }
  const Place& place = saved->second.place;
  if (saved->second.writer != stream) space_.order(saved->second.writer, stream);
  for (void* memory : {place.codes, place.scales}) {
    if (memory != nullptr) blocks_.at(memory)->second.streams.add(stream);
  }
  return saved;
}

void BestFitPool::forgetIfEmpty(std::uint64_t microBatch) {
  const auto batch = microBatches_.find(microBatch);
  if (batch != microBatches_.end() && batch->second.empty()) microBatches_.erase(batch);
}

Place BestFitPool::restore(const TensorId& id, StreamHandle stream) {
  const auto saved = readable(id, stream, "restored");
  const Place place = saved->second.place;
  giveBackPlace(place);
  microBatches_.at(id.microBatch).erase(saved);
  forgetIfEmpty(id.microBatch);
  return place;
}

Place BestFitPool::peek(const TensorId& id, StreamHandle stream) { return readable(id, stream, "read")->second.place; }

void BestFitPool::discard(std::uint64_t microBatch) {
  const auto batch = microBatches_.find(microBatch);
  if (batch == microBatches_.end()) return;
  for (const auto& [name, saved] : batch->second) giveBackPlace(saved.place);
  microBatches_.erase(batch);
}

void* BestFitPool::allocate(std::string_view name, std::size_t bytes, StreamHandle stream) {
  requireStream(space_, stream, [&] { return strCat(owner_, ": ", name); });
  return take(name, bytes, stream, nullptr);
}

Named BestFitPool::free(void* memory, StreamHandle stream) {
  FreeBlocks::Entry* block = blocks_.at(memory);
  if (block == nullptr || !block->second.taken) {
    const auto last = std::find_if(freedLast_.begin(), freedLast_.end(), [&](const auto& freed) { return freed.first == memory; });
    if (memory == nullptr || last == freedLast_.end()) {
      fail(qcclInvalidUsage, owner_, ": ", memory, " is no memory of this pool that is in use; free what allocate returned");
    }
    fail(qcclInvalidUsage, owner_, ": ", last->second, " at ", memory, " was freed already");
  }
  Named user = block->second.user;
  if (block->second.saved) fail(qcclInvalidUsage, owner_, ": ", user.name, " is a saved tensor: restore it or discard its micro-batch");
  requireStream(space_, stream, [&] { return strCat(owner_, ": ", user.name); });
  StreamSet streams;
  streams.add(stream);
  giveBack(memory, streams);
  return user;
}

std::vector<Named> BestFitPool::saved(std::uint64_t microBatch) const {
  const auto batch = microBatches_.find(microBatch);
  if (batch == microBatches_.end()) return {};
  std::vector<std::pair<std::size_t, Named>> inOrder;
  for (const auto& [name, saved] : batch->second) inOrder.push_back({saved.order, {name, saved.place.bytes.total()}});
  std::sort(inOrder.begin(), inOrder.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Named> names;
  for (auto& [order, named] : inOrder) names.push_back(std::move(named));
  return names;
}

void BestFitPool::checkConsistency() const {
  std::size_t total = 0, used = 0;
  const std::byte* end = nullptr;
  const Block* before = nullptr;
  blocks_.forEach([&](const std::byte* address, const Block& block) {
    QCCL_CHECK(block.bytes > 0 && block.bytes % kPlaceAlign == 0);
    if (before != nullptr && before->segment == block.segment) {
      QCCL_CHECK(address == end);
      QCCL_CHECK(before->taken || block.taken);
    }
    total += block.bytes;
    if (block.taken) used += block.user.bytes;
    end = address + block.bytes;
    before = &block;
  });
  QCCL_CHECK(total == reservedBytes_ && used == usedBytes_);
}

}  // namespace qccl::memory
