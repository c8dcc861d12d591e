#include "memory/planned_pool.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "memory/report_text.hpp"

namespace qccl::memory {
namespace {

PoolPlan checkedPlan(const std::string& name, PoolPlan plan, const MemorySpace& space, std::optional<std::size_t> limitBytes) {
  if (limitBytes) requireFits("pool " + name, plan, *limitBytes, strCat("its limit of ", withCommas(*limitBytes)));
  if (const auto free = space.freeBytes()) {
    requireFits("pool " + name, plan, *free, strCat("the ", withCommas(*free), " that are free in ", space.name()));
  }
  return plan;
}

// The slot of a micro-batch in flight, or nullptr.
auto* inFlight(auto& slots, std::uint64_t microBatch) {
  const auto found = std::find_if(slots.begin(), slots.end(), [&](const auto& s) { return s.inFlight && s.microBatch == microBatch; });
  return found == slots.end() ? nullptr : &*found;
}

}  // namespace

PlannedPool::PlannedPool(std::string name, PoolPlan plan, MemorySpace& space, std::optional<std::size_t> limitBytes)
    : name_(std::move(name)),
      owner_("pool " + name_),
      plan_(checkedPlan(name_, std::move(plan), space, limitBytes)),
      space_(space),
      arena_(owner_, space, plan_.totalBytes()),
      slots_(plan_.slots()),
      scratch_(owner_, space, arena_.at(plan_.scratchAt(0)), arena_.at(plan_.scratchAt(1)), plan_.scratchBytes()) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].bytes.resize(plan_.ledger().entries().size());
    freeSlots_.push_back(i);
  }
}

std::string PlannedPool::the(const TensorId& id) const { return strCat(owner_, ": ", describe(id)); }

// The slot that has been free for longest, for a micro-batch that begins.
PlannedPool::Slot& PlannedPool::vacant(const TensorId& id) {
  if (!freeSlots_.empty()) return slots_[freeSlots_.front()];
  std::string others;
  for (const Slot& slot : slots_) others += strCat(others.empty() ? "" : ", ", slot.microBatch);
  fail(qcclInvalidUsage, the(id), " exceeds the plan of ", slots_.size(), " micro-batches in flight: ", others,
       " have not restored all that they saved; restore or discard one, or plan for more");
}

void PlannedPool::begin(Slot& slot, std::uint64_t microBatch) {
  freeSlots_.pop_front();
  slot.inFlight = true;
  slot.everUsed = true;
  slot.restoring = false;
  slot.microBatch = microBatch;
}

void PlannedPool::end(Slot& slot) {
  slot.inFlight = false;
  slot.earlier.clear();
  slot.earlier.add(slot.readers);
  slot.earlier.add(slot.writers);
  slot.writers.clear();
  slot.restorers.clear();
  slot.readers.clear();
  freeSlots_.push_back(static_cast<std::size_t>(&slot - slots_.data()));
}

Place PlannedPool::placeOf(const Slot& slot, std::size_t tensor) const {
  const auto index = static_cast<std::size_t>(&slot - slots_.data());
  const TensorBytes& bytes = slot.bytes[tensor];
  return {arena_.at(plan_.codesAt(index, tensor)), bytes.scales == 0 ? nullptr : arena_.at(plan_.scalesAt(index, tensor)), bytes};
}

// The tensor to be saved is not the next one of the plan.
void PlannedPool::failSave(const TensorId& id, std::size_t next) const {
  const auto& entries = plan_.ledger().entries();
  const std::ptrdiff_t index = plan_.ledger().indexOf(id.name);
  if (index < 0) fail(qcclInvalidUsage, the(id), " is not in the plan; add it to the ledger that the pool is made from");
  if (static_cast<std::size_t>(index) < next) fail(qcclInvalidUsage, the(id), " is saved already; each tensor is saved once");
  fail(qcclInvalidUsage, the(id), " is saved out of order: the plan has ", entries[next].tensor.name, " next (tensor ", next + 1, " of ",
       entries.size(), ")");
}

Place PlannedPool::save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) {
  requireStream(space_, stream, [&] { return the(id); });
  const auto& entries = plan_.ledger().entries();
  Slot* slot = inFlight(slots_, id.microBatch);
  const std::size_t next = slot == nullptr ? 0 : slot->depth;
  if (slot != nullptr && slot->restoring) {
    fail(qcclInvalidUsage, the(id), " is saved out of order: restoring of this micro-batch has begun, and saves come before that");
  }
  if (next == entries.size() || entries[next].tensor.name != id.name) failSave(id, next);
  const TensorBytes& planned = entries[next].bytes;
  if (bytes.codes > planned.codes || bytes.scales > planned.scales) {
    fail(qcclInvalidUsage, the(id), " exceeds the plan: ", bytes.codes, " bytes of codes and ", bytes.scales, " of scales, planned are ",
         planned.codes, " and ", planned.scales);
  }
  Slot& home = slot == nullptr ? vacant(id) : *slot;
  if (!home.writers.contains(stream)) {
    orderAfter(space_, home.earlier, stream);
    home.writers.add(stream);
  }
  if (slot == nullptr) begin(home, id.microBatch);
  home.bytes[home.depth++] = bytes;
  savedBytes_ += bytes.total();
  return placeOf(home, next);
}

// Index of a tensor that is saved now, or the reason why it is not.
std::size_t PlannedPool::savedIndex(const TensorId& id, const Slot* slot, const char* what) const {
  const std::ptrdiff_t index = plan_.ledger().indexOf(id.name);
  if (index < 0) fail(qcclInvalidUsage, the(id), " cannot be ", what, ": it is not in the plan");
  if (slot != nullptr && static_cast<std::size_t>(index) < slot->depth) return static_cast<std::size_t>(index);
  const bool known = std::any_of(slots_.begin(), slots_.end(), [&](const Slot& s) { return s.everUsed && s.microBatch == id.microBatch; });
  if (!known) fail(qcclInvalidUsage, the(id), " cannot be ", what, ": nothing of this micro-batch is saved, or no longer");
  const bool over = slot == nullptr || slot->restoring;
  fail(qcclInvalidUsage, the(id), " cannot be ", what, ": it ", over ? "was restored or discarded already" : "was not saved");
}

Place PlannedPool::restore(const TensorId& id, StreamHandle stream) {
  requireStream(space_, stream, [&] { return the(id); });
  Slot* slot = inFlight(slots_, id.microBatch);
  const auto& entries = plan_.ledger().entries();
  if (slot == nullptr || entries[slot->depth - 1].tensor.name != id.name) {
    savedIndex(id, slot, "restored");
    fail(qcclInvalidUsage, the(id), " is restored out of order: ", entries[slot->depth - 1].tensor.name,
         " was saved after it and comes first");
  }
  if (!slot->restorers.contains(stream)) {
    orderAfter(space_, slot->writers, stream);
    slot->restorers.add(stream);
    slot->readers.add(stream);
  }
  slot->restoring = true;
  const Place place = placeOf(*slot, --slot->depth);
  savedBytes_ -= place.bytes.total();
  if (slot->depth == 0) end(*slot);
  return place;
}

Place PlannedPool::peek(const TensorId& id, StreamHandle stream) {
  requireStream(space_, stream, [&] { return the(id); });
  Slot* slot = inFlight(slots_, id.microBatch);
  const std::size_t index = savedIndex(id, slot, "read");
  // While saving goes on, a stream that is a writer, too, may still lack the order after other writers: nothing is remembered here.
  if (!slot->restorers.contains(stream)) orderAfter(space_, slot->writers, stream);
  slot->readers.add(stream);
  return placeOf(*slot, index);
}

void PlannedPool::discard(std::uint64_t microBatch) {
  Slot* slot = inFlight(slots_, microBatch);
  if (slot == nullptr) return;
  for (; slot->depth > 0; --slot->depth) savedBytes_ -= slot->bytes[slot->depth - 1].total();
  end(*slot);
}

void* PlannedPool::allocate(std::string_view name, std::size_t bytes, StreamHandle stream) { return scratch_.take(name, bytes, stream); }

Named PlannedPool::free(void* memory, StreamHandle stream) { return scratch_.giveBack(memory, stream); }

std::vector<Named> PlannedPool::saved(std::uint64_t microBatch) const {
  std::vector<Named> names;
  if (const Slot* slot = inFlight(slots_, microBatch)) {
    for (std::size_t i = 0; i < slot->depth; ++i) {
      names.push_back({plan_.ledger().entries()[i].tensor.name, slot->bytes[i].total()});
    }
  }
  return names;
}

PoolUsage PlannedPool::usage() const { return {savedBytes_ + scratch_.usedBytes(), arena_.bytes()}; }

}  // namespace qccl::memory
