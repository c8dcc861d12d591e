// The ledger as a table and as JSON.
#include <cstdio>

#include "core/error.hpp"
#include "memory/ledger.hpp"
#include "memory/report_text.hpp"

namespace qccl::memory {
namespace {

std::string percent(std::size_t part, std::size_t whole) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1f %%", whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

}  // namespace

std::string Ledger::table() const {
  const LedgerTotals all = totals();
  TextTable table({"saved", "tensors", "elems each", "format", "code bytes", "scale bytes", "share"});
  for (const LedgerKind& kind : kinds()) {
    table.add({kind.kind, withCommas(kind.tensors), withCommas(kind.elems), formatName(kind.format), withCommas(kind.bytes.codes),
               withCommas(kind.bytes.scales), percent(kind.bytes.total(), all.bytes.total())});
  }
  table.add({"all", withCommas(all.tensors), "", "", withCommas(all.bytes.codes), withCommas(all.bytes.scales), ""});
  return strCat(table.text(), "one micro-batch: ", withCommas(all.bytes.total()), " bytes (", binaryBytes(all.bytes.total()), "), ",
                withCommas(all.elems), " elements\n");
}

std::string Ledger::json() const {
  const LedgerTotals all = totals();
  JsonWriter json;
  json.beginObject().put("tensorCount", all.tensors).put("elems", all.elems).put("codeBytes", all.bytes.codes);
  json.put("scaleBytes", all.bytes.scales).put("largestElems", all.largestElems).beginArray("tensors");
  for (const LedgerEntry& entry : entries_) {
    json.beginObject().put("name", entry.tensor.name).put("elems", entry.tensor.elems).put("format", formatName(entry.tensor.format));
    json.put("bits", bitsOf(entry.tensor.format)).put("codeBytes", entry.bytes.codes).put("scaleBytes", entry.bytes.scales).endObject();
  }
  return json.endArray().endObject().text();
}

}  // namespace qccl::memory
