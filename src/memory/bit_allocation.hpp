// Which tensors get how many bits: the allocation of least error under a budget of bytes, exactly.
//
// Each item (a tensor of a layer) takes one of its choices, each with its bytes and the error that it adds; errors add up. This is the
// multiple-choice knapsack problem. It is solved by going through the items with all partial allocations that can still be part of the best
// one: those that no other beats in both bytes and error, and whose Lagrangian bound (a price for each byte) is below the best allocation
// known. The price at which the budget is just met leaves few of them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace qccl::memory {

struct BitChoice {
  int bits;
  std::size_t bytes;
  double error;  // from 0 to 1e100
};

struct BitItem {
  std::string name;
  std::vector<BitChoice> choices;  // one or more, in any order
};

struct BitAllocation {
  std::vector<std::size_t> choice;  // by item
  std::size_t bytes = 0;
  double error = 0;
};

// Of least total error among those of at most budgetBytes; of several, one of fewest bytes. Totals of errors are compared as rounded sums
// in FP64. Throws Error(qcclInvalidArgument) if the items cannot be made to fit, saying how many bytes they need at least, and if too many
// allocations are equally good to go through them (many items, all of the same error a byte and of sizes without a common measure).
BitAllocation allocateBits(std::span<const BitItem> items, std::size_t budgetBytes);

}  // namespace qccl::memory
