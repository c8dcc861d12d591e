// The ledger: what the forward pass of one micro-batch saves for its backward pass, tensor by tensor in the order of saving. Of any model:
// a list of names, elements and formats. llama_ledger.hpp makes that of a LLaMA from its shape.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "memory/name_map.hpp"
#include "memory/saved_tensor.hpp"

namespace qccl::memory {

struct LedgerEntry {
  SavedTensor tensor;
  TensorBytes bytes;
};

struct LedgerTotals {
  std::size_t tensors = 0;
  std::size_t elems = 0;
  TensorBytes bytes;
  std::size_t largestElems = 0;  // of one tensor: what a dequantize scratch must hold
};

// Tensors of the same kind, elements and format, in however many layers.
struct LedgerKind {
  std::string kind;
  std::size_t tensors = 0;
  std::size_t elems = 0;  // of each
  TensorFormat format;
  TensorBytes bytes;  // of all
};

class Ledger {
 public:
  // Appends to the order of saving. Throws Error(qcclInvalidArgument) naming the tensor if its name is empty or taken, it has no elements
  // or too many, or its format is wrong.
  void add(SavedTensor tensor);

  // The tensor of this name, or else every tensor of this kind, in another format. Throws Error(qcclInvalidArgument) if there is none.
  void setFormat(std::string_view nameOrKind, const TensorFormat& format);

  const std::vector<LedgerEntry>& entries() const { return entries_; }
  // Index into entries(), or -1.
  std::ptrdiff_t indexOf(std::string_view name) const;

  LedgerTotals totals() const;
  std::vector<LedgerKind> kinds() const;  // in the order in which they are first saved

  std::string table() const;  // by kind, for people
  std::string json() const;   // every tensor

 private:
  std::vector<LedgerEntry> entries_;
  NameMap<std::size_t> indices_;
};

}  // namespace qccl::memory
