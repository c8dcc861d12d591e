#include "memory/pool_plan.hpp"

#include "core/error.hpp"
#include "memory/memory_space.hpp"
#include "memory/report_text.hpp"

namespace qccl::memory {
namespace {

// Sums of sizes that came from outside: a ledger of many tensors of kMaxElems must be refused, not wrap around.
std::size_t added(std::size_t a, std::size_t b) {
  std::size_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) fail(qcclInvalidArgument, "the plan is larger than any memory: its bytes do not fit into size_t");
  return sum;
}

std::size_t multiplied(std::size_t a, std::size_t b) {
  std::size_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    fail(qcclInvalidArgument, "the plan is larger than any memory: its bytes do not fit into size_t");
  }
  return product;
}

std::size_t aligned(std::size_t bytes) { return added(bytes, kPlaceAlign - 1) / kPlaceAlign * kPlaceAlign; }

}  // namespace

PoolPlan::PoolPlan(Ledger ledger, const PlanOptions& options) : ledger_(std::move(ledger)), options_(options) {
  if (ledger_.entries().empty()) fail(qcclInvalidArgument, "a plan needs a ledger with at least one tensor");
  if (options.microBatchesInFlight == 0) fail(qcclInvalidArgument, "a plan needs at least one micro-batch in flight, not 0");
  std::size_t exactBytes = 0;
  offsets_.reserve(ledger_.entries().size());
  for (const LedgerEntry& entry : ledger_.entries()) {
    offsets_.push_back(slotBytes_);
    slotBytes_.codes = added(slotBytes_.codes, aligned(entry.bytes.codes));
    slotBytes_.scales = added(slotBytes_.scales, aligned(entry.bytes.scales));
    exactBytes += entry.bytes.total();
  }
  scratchBytes_ = aligned(options.scratchBytes);
  scalesBegin_ = multiplied(slots(), slotBytes_.codes);
  scratchBegin_ = added(scalesBegin_, multiplied(slots(), slotBytes_.scales));
  totalBytes_ = added(scratchBegin_, multiplied(2, scratchBytes_));
  paddingBytes_ = totalBytes_ - slots() * exactBytes - 2 * options.scratchBytes;
}

std::string PoolPlan::table() const {
  TextTable areas({"area", "pieces", "bytes each", "bytes"});
  const auto row = [&](const char* name, std::size_t pieces, std::size_t bytes) {
    areas.add({name, withCommas(pieces), withCommas(bytes), withCommas(pieces * bytes)});
  };
  row("codes of a micro-batch", slots(), slotBytes_.codes);
  row("scales of a micro-batch", slots(), slotBytes_.scales);
  row("dequantize scratch", 2, scratchBytes_);
  areas.add({"all", "", "", withCommas(totalBytes_)});
  return strCat(ledger_.table(), "\n", areas.text(), "planned: ", withCommas(totalBytes_), " bytes (", binaryBytes(totalBytes_),
                "), of which ", withCommas(paddingBytes_), " align places to ", kPlaceAlign, " bytes\n");
}

std::string PoolPlan::json() const {
  JsonWriter json;
  json.beginObject().put("totalBytes", totalBytes_).put("paddingBytes", paddingBytes_).put("microBatchesInFlight", slots());
  json.put("slotCodeBytes", slotBytes_.codes).put("slotScaleBytes", slotBytes_.scales).put("scratchBytes", scratchBytes_);
  json.put("alignBytes", kPlaceAlign).beginArray("tensors");
  for (std::size_t i = 0; i < offsets_.size(); ++i) {
    const LedgerEntry& entry = ledger_.entries()[i];
    json.beginObject().put("name", entry.tensor.name).put("elems", entry.tensor.elems).put("format", formatName(entry.tensor.format));
    json.put("codeBytes", entry.bytes.codes).put("codesAt", offsets_[i].codes);
    json.put("scaleBytes", entry.bytes.scales).put("scalesAt", offsets_[i].scales).endObject();
  }
  return json.endArray().endObject().text();
}

}  // namespace qccl::memory
