// The pool without a plan, for frameworks whose allocations are not known before: best fit with coalescing, over segments that are taken
// from the memory space as they are needed and kept until the pool is gone. It is also the baseline that the planned pool is measured
// against.
//
// The same interface, with less to refuse: a micro-batch may restore what it saved in any order, and may save again after that.
#pragma once

#include <array>
#include <list>
#include <unordered_map>

#include "memory/arena.hpp"
#include "memory/free_blocks.hpp"
#include "memory/name_map.hpp"
#include "memory/pool.hpp"

namespace qccl::memory {

class BestFitPool final : public Pool {
 public:
  // Takes segments of segmentBytes (a single larger request gets a segment of its own size) from `space`, which must outlive the pool.
  BestFitPool(std::string name, MemorySpace& space, std::size_t segmentBytes);

  Place save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) override;
  Place restore(const TensorId& id, StreamHandle stream) override;
  Place peek(const TensorId& id, StreamHandle stream) override;
  void discard(std::uint64_t microBatch) override;
  void* allocate(std::string_view name, std::size_t bytes, StreamHandle stream) override;
  Named free(void* memory, StreamHandle stream) override;
  std::vector<Named> saved(std::uint64_t microBatch) const override;
  PoolUsage usage() const override { return {usedBytes_, reservedBytes_}; }
  const std::string& name() const override { return name_; }

  std::size_t largestFreeBytes() const { return blocks_.largestFreeBytes(); }

  // Throws Error(qcclInternalError) unless every byte of every segment is in exactly one block and no two neighbours are free: for tests.
  void checkConsistency() const;

 private:
  struct Saved {
    Place place;
    StreamHandle writer = nullptr;
    std::size_t order = 0;  // of saving
  };
  using MicroBatch = NameMap<Saved>;

  std::byte* take(std::string_view name, std::size_t bytes, StreamHandle stream, const TensorId* saved);
  void giveBack(void* memory, const StreamSet& streams);
  std::string the(const TensorId& id) const;
  // The saved tensor, ready to be read on `stream`; throws if there is none: it "cannot be" `what`.
  MicroBatch::iterator readable(const TensorId& id, StreamHandle stream, const char* what);
  void giveBackPlace(const Place& place);
  // Ends the micro-batch's entry if nothing of it is left.
  void forgetIfEmpty(std::uint64_t microBatch);

  std::string name_;
  std::string owner_;  // "pool acts": how its sentences begin
  MemorySpace& space_;
  std::size_t segmentBytes_;
  std::list<Arena> segments_;
  FreeBlocks blocks_;
  std::unordered_map<std::uint64_t, MicroBatch> microBatches_;
  // What was freed last, for the sentence of a double free.
  std::array<std::pair<void*, std::string>, 64> freedLast_;
  std::size_t frees_ = 0;
  std::size_t saves_ = 0;
  std::size_t usedBytes_ = 0;
  std::size_t reservedBytes_ = 0;
};

}  // namespace qccl::memory
