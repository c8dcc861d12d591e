#include "memory/statistics_adaptor.hpp"

#include <algorithm>
#include <map>

#include "core/error.hpp"
#include "memory/report_text.hpp"

namespace qccl::memory {

template <typename Call>
auto StatisticsAdaptor::counted(Call call) {
  try {
    return call();
  } catch (...) {
    ++totals_.refusals;
    throw;
  }
}

void StatisticsAdaptor::grow(std::string_view name, std::size_t bytes) {
  auto entry = names_.find(name);
  if (entry == names_.end()) entry = names_.emplace(std::string(name), NameStatistics()).first;
  NameStatistics& of = entry->second;
  ++of.times;
  of.usedBytes += bytes;
  of.peakBytes = std::max(of.peakBytes, of.usedBytes);
  totals_.usedBytes += bytes;
  totals_.peakReservedBytes = std::max(totals_.peakReservedBytes, inner().usage().reservedBytes);
  if (totals_.usedBytes > totals_.peakBytes) {
    totals_.peakBytes = totals_.usedBytes;
    atPeakNow_ = true;
  }
}

void StatisticsAdaptor::shrink(std::string_view name, std::size_t bytes) {
  if (atPeakNow_) {
    for (auto& [_, of] : names_) of.atPeakBytes = of.usedBytes;
    atPeakNow_ = false;
  }
  names_.find(name)->second.usedBytes -= bytes;
  totals_.usedBytes -= bytes;
}

Place StatisticsAdaptor::save(const TensorId& id, const TensorBytes& bytes, StreamHandle stream) {
  const Place place = counted([&] { return inner().save(id, bytes, stream); });
  ++totals_.saves;
  grow(id.name, bytes.total());
  return place;
}

Place StatisticsAdaptor::restore(const TensorId& id, StreamHandle stream) {
  const Place place = counted([&] { return inner().restore(id, stream); });
  ++totals_.restores;
  shrink(id.name, place.bytes.total());
  return place;
}

Place StatisticsAdaptor::peek(const TensorId& id, StreamHandle stream) {
  return counted([&] { return inner().peek(id, stream); });
}

void StatisticsAdaptor::discard(std::uint64_t microBatch) {
  const std::vector<Named> gone = inner().saved(microBatch);
  counted([&] { inner().discard(microBatch); });
  ++totals_.discards;
  for (const Named& tensor : gone) shrink(tensor.name, tensor.bytes);
}

void* StatisticsAdaptor::allocate(std::string_view name, std::size_t bytes, StreamHandle stream) {
  void* memory = counted([&] { return inner().allocate(name, bytes, stream); });
  ++totals_.allocations;
  grow(name, bytes);
  return memory;
}

Named StatisticsAdaptor::free(void* memory, StreamHandle stream) {
  Named freed = counted([&] { return inner().free(memory, stream); });
  ++totals_.frees;
  shrink(freed.name, freed.bytes);
  return freed;
}

PoolStatistics StatisticsAdaptor::statistics() const {
  PoolStatistics statistics = totals_;
  statistics.reservedBytes = inner().usage().reservedBytes;
  statistics.peakReservedBytes = std::max(statistics.peakReservedBytes, statistics.reservedBytes);
  return statistics;
}

void StatisticsAdaptor::resetPeaks() {
  totals_.peakBytes = totals_.usedBytes;
  totals_.peakReservedBytes = inner().usage().reservedBytes;
  atPeakNow_ = true;
  for (auto& [_, of] : names_) of.peakBytes = of.usedBytes;
}

std::string StatisticsAdaptor::table() const {
  std::map<std::string, std::pair<std::size_t, NameStatistics>, std::less<>> kinds;  // names of the kind, and their sums
  for (const auto& [name, of] : names_) {
    auto& [names, sum] = kinds[std::string(kindOf(name))];
    ++names;
    sum.times += of.times;
    sum.usedBytes += of.usedBytes;
    sum.peakBytes += of.peakBytes;
    sum.atPeakBytes += atPeak(of);
  }
  std::vector<decltype(kinds)::const_iterator> order;
  for (auto kind = kinds.cbegin(); kind != kinds.cend(); ++kind) order.push_back(kind);
  std::stable_sort(order.begin(), order.end(), [](auto a, auto b) { return a->second.second.atPeakBytes > b->second.second.atPeakBytes; });
  const PoolStatistics all = statistics();
  TextTable table({"name", "names", "times", "bytes now", "own peaks", "at the peak of all"});
  for (const auto& kind : order) {
    const auto& [names, sum] = kind->second;
    table.add({kind->first, withCommas(names), withCommas(sum.times), withCommas(sum.usedBytes), withCommas(sum.peakBytes),
               withCommas(sum.atPeakBytes)});
  }
  table.add({"all", withCommas(names_.size()), withCommas(all.saves + all.allocations), withCommas(all.usedBytes), "",
             withCommas(all.peakBytes)});
  return strCat("pool ", name(), "\n", table.text(), "reserved: ", withCommas(all.reservedBytes), " bytes, at most ",
                withCommas(all.peakReservedBytes), "; calls refused: ", withCommas(all.refusals), "\n");
}

std::string StatisticsAdaptor::json() const {
  const PoolStatistics all = statistics();
  JsonWriter json;
  json.beginObject().put("pool", name()).put("saves", all.saves).put("restores", all.restores).put("discards", all.discards);
  json.put("allocations", all.allocations).put("frees", all.frees).put("refusals", all.refusals).put("usedBytes", all.usedBytes);
  json.put("peakBytes", all.peakBytes).put("reservedBytes", all.reservedBytes).put("peakReservedBytes", all.peakReservedBytes);
  json.beginArray("names");
  const std::map<std::string, NameStatistics> sorted(names_.begin(), names_.end());
  for (const auto& [tensor, of] : sorted) {
    json.beginObject().put("name", tensor).put("times", of.times).put("usedBytes", of.usedBytes).put("peakBytes", of.peakBytes);
    json.put("atPeakBytes", atPeak(of)).endObject();
  }
  return json.endArray().endObject().text();
}

}  // namespace qccl::memory
