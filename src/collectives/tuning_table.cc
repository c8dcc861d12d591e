#include "collectives/tuning_table.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "core/error.hpp"

namespace qccl::collectives {
namespace {

// More than any measured table; less than the control channel carries in one message.
constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;

bool matches(const TuningKey& key, const TuningQuery& query) {
  return key.coll == query.coll && key.onDevice == query.onDevice && (!key.path || *key.path == query.path) &&
         key.ranks.contains(query.ranks) && key.ranksPerHost.contains(query.ranksPerHost) && (!key.dtype || *key.dtype == query.dtype) &&
         (key.codec == query.codec || (key.codec == TuningKey::kQuantized && query.codec != qcclCodecNone));
}

std::string readFile(const std::string& path) {
  std::string text(kMaxFileBytes + 1, '\0');
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad() || (file.gcount() == 0 && errno != 0)) {  // a folder opens, but cannot be read
    fail(qcclInvalidArgument, "QCCL_TUNING_TABLE=", path, ": the file cannot be read (", std::strerror(errno),
         "); name a table that qccl-perf --tune has written, or nothing for the one built in");
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxFileBytes) fail(qcclInvalidArgument, "QCCL_TUNING_TABLE=", path, ": more than 1 MiB is no tuning table");
  return text;
}

}  // namespace

const char* pathName(RankPath path) {
  switch (path) {
    case RankPath::oneHost:
      return "oneHost";
    case RankPath::severalHosts:
      return "severalHosts";
    case RankPath::peer:
      return "peer";
    case RankPath::host:
      return "host";
    case RankPath::nccl:
      return "nccl";
  }
  return "?";
}

TuningTable::TuningTable(const std::vector<TuningRow>& rows) {
  for (const TuningRow& row : rows) {
    const auto isOfKey = [&](const TuningRow& other) { return other.key == row.key; };
    const auto first = std::find_if(rows_.begin(), rows_.end(), isOfKey);
    const auto place =
        std::find_if(first, rows_.end(), [&](const TuningRow& other) { return !isOfKey(other) || other.upToBytes > row.upToBytes; });
    rows_.insert(place, row);
  }
}

const TuningRow* TuningTable::find(const TuningQuery& query, const std::function<bool(const TuningRow&)>& usable) const {
  for (const TuningRow& row : rows_) {
    if (row.upToBytes >= query.bytes && matches(row.key, query) && usable(row)) return &row;
  }
  return nullptr;
}

const std::shared_ptr<const TuningTable>& builtInTuning() {
  static const auto table = std::make_shared<const TuningTable>(parseTuning("the built-in tuning table", builtInTuningText(), true));
  return table;
}

std::shared_ptr<const TuningTable> readTuning(const std::string& path) {
  if (path.empty()) return builtInTuning();
  std::vector<TuningRow> rows = parseTuning(path, readFile(path), false);
  const std::size_t own = rows.size();
  for (const TuningRow& row : builtInTuning()->rows()) {
    const auto end = rows.begin() + static_cast<std::ptrdiff_t>(own);
    const bool replaced = std::any_of(rows.begin(), end, [&](const TuningRow& measured) { return measured.key == row.key; });
    if (!replaced) rows.push_back(row);
  }
  return std::make_shared<const TuningTable>(rows);
}

}  // namespace qccl::collectives
