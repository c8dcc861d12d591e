// Where everything lies in a planned pool, computed before anything is allocated.
//
//   codes:   slot 0 | slot 1 | ... | slot S-1      a slot: the tensors of one micro-batch in the order of saving, its stack
//   scales:  slot 0 | slot 1 | ... | slot S-1      the same order
//   scratch: half 0 | half 1
//
// S is the number of micro-batches in flight. Every place begins at a multiple of kPlaceAlign; what that costs is paddingBytes, and there
// is nothing else between the places.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "memory/ledger.hpp"

namespace qccl::memory {

struct PlanOptions {
  std::size_t microBatchesInFlight = 1;  // 1F1B: stage s of P has P - s
  std::size_t scratchBytes = 0;          // of each half of the double buffer: the largest tensor as it is computed with
};

class PoolPlan {
 public:
  // Throws Error(qcclInvalidArgument) if the ledger is empty, no micro-batch may be in flight, or the sum does not fit into a size_t.
  PoolPlan(Ledger ledger, const PlanOptions& options);

  const Ledger& ledger() const { return ledger_; }
  const PlanOptions& options() const { return options_; }
  std::size_t slots() const { return options_.microBatchesInFlight; }

  std::size_t totalBytes() const { return totalBytes_; }
  std::size_t paddingBytes() const { return paddingBytes_; }
  std::size_t slotCodeBytes() const { return slotBytes_.codes; }
  std::size_t slotScaleBytes() const { return slotBytes_.scales; }
  std::size_t scratchBytes() const { return scratchBytes_; }  // of each half, with padding

  // Offsets in the arena, in bytes. `tensor` is an index into ledger().entries().
  std::size_t codesAt(std::size_t slot, std::size_t tensor) const { return slot * slotBytes_.codes + offsets_[tensor].codes; }
  std::size_t scalesAt(std::size_t slot, std::size_t tensor) const {
    return scalesBegin_ + slot * slotBytes_.scales + offsets_[tensor].scales;
  }
  std::size_t scratchAt(std::size_t half) const { return scratchBegin_ + half * scratchBytes_; }

  std::string table() const;  // the areas, after the ledger's kinds
  std::string json() const;   // sizes and offsets within a slot

 private:
  Ledger ledger_;
  PlanOptions options_;
  std::vector<TensorBytes> offsets_;  // within a slot
  TensorBytes slotBytes_;             // of one slot
  std::size_t scalesBegin_ = 0, scratchBegin_ = 0;
  std::size_t scratchBytes_ = 0, totalBytes_ = 0, paddingBytes_ = 0;
};

// Throws Error(qcclInvalidArgument) if the plan needs more than limitBytes: with the shortfall in bytes and the cheapest change that would
// fit. `what` begins the sentence, `limit` says whose the limit is: "pool acts", "the limit of 10 bytes".
void requireFits(const std::string& what, const PoolPlan& plan, std::size_t limitBytes, const std::string& limit);

}  // namespace qccl::memory
