// The pool for training: all its places are known before step 1 (pool_plan.hpp), so that saving is looking up an offset and nothing can
// fragment.
//
// A micro-batch in flight has a slot, a stack: tensors are saved in the order of the ledger, from any first number of them restored in
// reverse, and nothing is saved once restoring has begun. Slots form a ring: a new micro-batch takes the one that has been free for
// longest, which under 1F1B is slot (number modulo slots), and any other schedule that keeps to the number in flight works as well.
//
// Streams: what a slot's last micro-batch used is waited for when the next one begins, once for each pair of different streams, not once a
// tensor; on one stream there are no events at all.
//
// allocate gives one of the two halves of the dequantize scratch.
#pragma once

#include <array>
#include <deque>
#include <optional>

#include "memory/arena.hpp"
#include "memory/pool.hpp"
#include "memory/pool_plan.hpp"
#include "memory/scratch.hpp"
#include "memory/stream_set.hpp"

namespace qccl::memory {

class PlannedPool final : public Pool {
 public:
  // Takes the plan's bytes from `space`, which must outlive the pool, in one allocation. Throws what requireFits throws, before that, if
  // they are more than limitBytes or than the space says is free.
  PlannedPool(std::string name, PoolPlan plan, MemorySpace& space, std::optional<std::size_t> limitBytes = std::nullopt);

  Place save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) override;
  Place restore(const TensorId& id, StreamHandle stream) override;
  Place peek(const TensorId& id, StreamHandle stream) override;
  void discard(std::uint64_t microBatch) override;
  void* allocate(std::string_view name, std::size_t bytes, StreamHandle stream) override;
  Named free(void* memory, StreamHandle stream) override;
  std::vector<Named> saved(std::uint64_t microBatch) const override;
  PoolUsage usage() const override;
  const std::string& name() const override { return name_; }

  const PoolPlan& plan() const { return plan_; }

 private:
  struct Slot {
    std::uint64_t microBatch = 0;
    bool everUsed = false;
    bool inFlight = false;
    bool restoring = false;
    std::size_t depth = 0;           // tensors saved and not restored
    std::vector<TensorBytes> bytes;  // of them, as they were saved
    StreamSet earlier;               // streams of the micro-batch before
    StreamSet writers;               // streams that save here, each ordered after all of `earlier`
    StreamSet restorers;             // streams that restore here, each ordered after all writers
    StreamSet readers;               // streams that restored or peeked
  };

  Slot& vacant(const TensorId& id);
  void begin(Slot& slot, std::uint64_t microBatch);
  void end(Slot& slot);
  Place placeOf(const Slot& slot, std::size_t tensor) const;
  std::string the(const TensorId& id) const;  // "pool acts: layers.0.q of micro-batch 3"
  [[noreturn]] void failSave(const TensorId& id, std::size_t next) const;
  std::size_t savedIndex(const TensorId& id, const Slot* slot, const char* what) const;

  std::string name_;
  std::string owner_;  // "pool acts": how its sentences begin
  PoolPlan plan_;
  MemorySpace& space_;
  Arena arena_;
  std::vector<Slot> slots_;
  std::deque<std::size_t> freeSlots_;  // the one free for longest first
  Scratch scratch_;
  std::size_t savedBytes_ = 0;
};

}  // namespace qccl::memory
