// What is said of a plan that does not fit: by how much, and what would make it fit.
//
// Changes that are looked at: fewer micro-batches in flight, and fewer bits for one kind of tensor (only of those that are rounded already:
// exact statistics stay exact). Of those that suffice alone the cheapest is the one that gives up the fewest bytes. Where none does, all
// kinds together, and then both.
#include <algorithm>
#include <array>
#include <optional>

#include "core/error.hpp"
#include "memory/pool_plan.hpp"
#include "memory/report_text.hpp"

namespace qccl::memory {
namespace {

constexpr std::array<int, 4> kBits = {8, 6, 5, 4};

struct Change {
  std::string text;
  std::size_t totalBytes = 0;  // of the plan with it
};

TensorFormat withBits(const TensorFormat& format, int bits) {
  if (format.codec == qcclCodecBf16) return formatOfBits(bits);  // its blocks and scales have no meaning
  return formatOfBits(bits, format.blockElems, format.scale);
}

bool canHave(const TensorFormat& format, int bits) {
  return format.codec != qcclCodecNone && bitsOf(format) > static_cast<std::size_t>(bits);
}

// The ledger with fewer bits for the tensors that `wanted` accepts.
template <typename Wanted>
Ledger withBits(const Ledger& ledger, int bits, Wanted wanted) {
  Ledger changed;
  for (const LedgerEntry& entry : ledger.entries()) {
    SavedTensor tensor = entry.tensor;
    if (canHave(tensor.format, bits) && wanted(tensor)) tensor.format = withBits(tensor.format, bits);
    changed.add(std::move(tensor));
  }
  return changed;
}

std::vector<Change> fewerInFlight(const PoolPlan& plan) {
  std::vector<Change> changes;
  const std::size_t perSlot = plan.slotCodeBytes() + plan.slotScaleBytes();
  for (std::size_t n = plan.slots() - 1; n > 0; --n) {
    changes.push_back({strCat("micro-batches in flight ", plan.slots(), " -> ", n), plan.totalBytes() - (plan.slots() - n) * perSlot});
  }
  return changes;
}

std::vector<Change> fewerBitsOfOneKind(const PoolPlan& plan) {
  std::vector<Change> changes;
  for (const LedgerKind& kind : plan.ledger().kinds()) {
    for (const int bits : kBits) {
      if (!canHave(kind.format, bits)) continue;
      const PoolPlan changed(withBits(plan.ledger(), bits,
                                      [&](const SavedTensor& tensor) {
                                        return kindOf(tensor.name) == kind.kind && tensor.elems == kind.elems &&
                                               tensor.format == kind.format;
                                      }),
                             plan.options());
      const std::string tensors = kind.tensors == 1 ? "one tensor" : strCat(kind.tensors, " tensors");
      changes.push_back({strCat("bits of ", kind.kind, " ", bitsOf(kind.format), " -> ", bits, " (", tensors, ")"), changed.totalBytes()});
    }
  }
  return changes;
}

std::optional<Change> cheapest(const std::vector<Change>& changes, std::size_t limitBytes) {
  std::optional<Change> best;
  for (const Change& change : changes) {
    if (change.totalBytes <= limitBytes && (!best || change.totalBytes > best->totalBytes)) best = change;
  }
  return best;
}

// For when no single change suffices.
std::string severalChanges(const PoolPlan& plan, std::size_t limitBytes) {
  const auto all = [](const SavedTensor&) { return true; };
  const auto told = [&](const std::string& changes, std::size_t totalBytes) {
    return strCat("No single change fits; ", changes, " would, and save ", withCommas(plan.totalBytes() - totalBytes), " bytes");
  };
  for (const int bits : kBits) {
    const std::size_t totalBytes = PoolPlan(withBits(plan.ledger(), bits, all), plan.options()).totalBytes();
    if (totalBytes <= limitBytes) return told(strCat("at most ", bits, " bits for every quantized tensor"), totalBytes);
  }
  const PoolPlan coarse(withBits(plan.ledger(), kBits.back(), all), plan.options());
  if (const auto fewer = cheapest(fewerInFlight(coarse), limitBytes)) {
    return told(strCat(kBits.back(), " bits for every quantized tensor together with ", fewer->text), fewer->totalBytes);
  }
  PlanOptions fewest = plan.options();
  fewest.microBatchesInFlight = 1;
  return strCat("No change of bits or micro-batches in flight fits: the smallest such plan needs ",
                withCommas(PoolPlan(coarse.ledger(), fewest).totalBytes()),
                " bytes. Take a smaller batch, a shorter sequence or fewer layers on this rank");
}

}  // namespace

void requireFits(const std::string& what, const PoolPlan& plan, std::size_t limitBytes, const std::string& limit) {
  if (plan.totalBytes() <= limitBytes) return;
  const std::optional<Change> inFlight = cheapest(fewerInFlight(plan), limitBytes);
  const std::optional<Change> bits = cheapest(fewerBitsOfOneKind(plan), limitBytes);
  const auto told = [&](const Change& change) {
    return strCat(change.text, ", saves ", withCommas(plan.totalBytes() - change.totalBytes), " bytes");
  };
  std::string advice;
  if (inFlight && bits) {
    const bool bitsFirst = bits->totalBytes >= inFlight->totalBytes;
    advice = strCat("Cheapest change that fits: ", told(bitsFirst ? *bits : *inFlight), "; or ", told(bitsFirst ? *inFlight : *bits));
  } else if (inFlight || bits) {
    advice = strCat("Cheapest change that fits: ", told(inFlight ? *inFlight : *bits));
  } else {
    advice = severalChanges(plan, limitBytes);
  }
  fail(qcclInvalidArgument, what, ": the plan needs ", withCommas(plan.totalBytes()), " bytes (", binaryBytes(plan.totalBytes()),
       "), which is ", withCommas(plan.totalBytes() - limitBytes), " bytes more than ", limit, ". ", advice);
}

}  // namespace qccl::memory
