#include "collectives/tuning_agreement.hpp"

#include <algorithm>
#include <vector>

#include "core/error.hpp"

namespace qccl::collectives {
namespace {

// What rank 0 tells: one letter, then the rows that can concern this communicator, those of its file before those built in; or an error.
constexpr char kTable = 'T';
constexpr char kRefused = 'E';

// Ranks of other libraries may have other rows built in, so these are sent as well.
std::string tableText(const TuningTable& table, int ranks) {
  std::vector<TuningRow> measured, builtIn;
  for (const TuningRow& row : table.rows()) {
    if (row.key.ranks.contains(ranks)) (row.builtIn ? builtIn : measured).push_back(row);
  }
  return kTable + formatTuning(measured) + '\0' + formatTuning(builtIn);
}

std::string announcement(const std::string& path, int ranks) {
  try {
    return tableText(*readTuning(path), ranks);
  } catch (const Error& error) {
    return kRefused + std::string(error.what());
  }
}

TuningTable tableOf(const std::string& text) {
  const std::string source = "the tuning table of rank 0";
  const std::size_t end = text.find('\0');
  std::vector<TuningRow> rows = parseTuning(source, text.substr(1, end - 1), false);
  const std::vector<TuningRow> builtIn = parseTuning(source, end == std::string::npos ? "" : text.substr(end + 1), true);
  rows.insert(rows.end(), builtIn.begin(), builtIn.end());
  return TuningTable(rows);
}

}  // namespace

std::shared_ptr<const TuningTable> agreeOnTuning(transport::Control& control, const std::string& path, Deadline deadline) {
  const std::string mine = control.rank() == 0 ? announcement(path, control.size()) : "";
  const std::string told = control.allGather(mine, deadline).front();
  if (told.empty() || told.front() == kRefused) {
    control.leave(deadline);  // all do, so that nobody's end looks like a death
    fail(qcclInvalidArgument, "rank 0 has no tuning table: ", told.empty() ? "it sent none" : told.substr(1));
  }
  return std::make_shared<const TuningTable>(tableOf(told));
}

}  // namespace qccl::collectives
