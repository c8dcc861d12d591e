#include "memory/ledger.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace qccl::memory {

void Ledger::add(SavedTensor tensor) {
  if (tensor.name.empty()) fail(qcclInvalidArgument, "tensor ", entries_.size(), " of the ledger has no name; errors and reports need one");
  if (tensor.elems == 0 || tensor.elems > kMaxElems) {
    fail(qcclInvalidArgument, "tensor ", tensor.name, " of the ledger has ", tensor.elems, " elements; give it 1 to ", kMaxElems);
  }
  checkFormat(strCat("tensor ", tensor.name, " of the ledger"), tensor.format);
  if (!indices_.emplace(tensor.name, entries_.size()).second) {
    fail(qcclInvalidArgument, "the ledger has a tensor ", tensor.name, " already; names must differ, as in layers.0.q and layers.1.q");
  }
  const TensorBytes bytes = storedBytes(tensor.elems, tensor.format);
  entries_.push_back({std::move(tensor), bytes});
}

void Ledger::setFormat(std::string_view nameOrKind, const TensorFormat& format) {
  checkFormat(nameOrKind, format);
  const std::ptrdiff_t index = indexOf(nameOrKind);
  bool found = false;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    LedgerEntry& entry = entries_[i];
    const bool meant = index >= 0 ? i == static_cast<std::size_t>(index) : kindOf(entry.tensor.name) == nameOrKind;
    if (!meant) continue;
    entry.tensor.format = format;
    entry.bytes = storedBytes(entry.tensor.elems, format);
    found = true;
  }
  if (!found) fail(qcclInvalidArgument, "the ledger has no tensor and no kind of tensor called ", nameOrKind);
}

std::ptrdiff_t Ledger::indexOf(std::string_view name) const {
  const auto found = indices_.find(name);
  return found == indices_.end() ? -1 : static_cast<std::ptrdiff_t>(found->second);
}

LedgerTotals Ledger::totals() const {
  LedgerTotals totals;
  for (const LedgerEntry& entry : entries_) {
    ++totals.tensors;
    totals.elems += entry.tensor.elems;
    totals.bytes.codes += entry.bytes.codes;
    totals.bytes.scales += entry.bytes.scales;
    totals.largestElems = std::max(totals.largestElems, entry.tensor.elems);
  }
  return totals;
}

std::vector<LedgerKind> Ledger::kinds() const {
  std::vector<LedgerKind> kinds;
  for (const LedgerEntry& entry : entries_) {
    const std::string_view kind = kindOf(entry.tensor.name);
    auto row = std::find_if(kinds.begin(), kinds.end(), [&](const LedgerKind& k) {
      return k.kind == kind && k.elems == entry.tensor.elems && k.format == entry.tensor.format;
    });
    if (row == kinds.end()) row = kinds.insert(kinds.end(), {std::string(kind), 0, entry.tensor.elems, entry.tensor.format, {}});
    ++row->tensors;
    row->bytes.codes += entry.bytes.codes;
    row->bytes.scales += entry.bytes.scales;
  }
  return kinds;
}

}  // namespace qccl::memory
