#include "perf/tune_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "common/api.hpp"

namespace qccl::bench {
namespace {

constexpr const char* kNewTable =
    "qccl-tuning 1\n"
    "# Measured by qccl-perf --tune; libqccl reads it where QCCL_TUNING_TABLE names it. docs/tuning.md says what the columns mean.\n"
    "# collective memory path ranks ranksPerHost dtype asked upToBytes codec algorithm requested\n";
constexpr std::size_t kKeyColumns = 7;

// The first columns of a row with single blanks between them; empty for a comment.
std::string keyOf(const std::string& line) {
  std::istringstream words(line.substr(0, line.find('#')));
  std::string key;
  std::string word;
  for (std::size_t column = 0; column < kKeyColumns && words >> word; ++column) key += (column == 0 ? "" : " ") + word;
  return key;
}

std::string readAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Of the library, which names the file and the line.
void checkTable(const std::string& path) {
  const char* text = nullptr;
  check(qcclGetTuningTable(path.c_str(), &text), "--tune");
}

}  // namespace

std::string tuneKey(qcclColl_t collective, const char* memory, const qcclTuningKey_t& ranks, qcclDataType_t dtype, qcclCodec_t codec) {
  // On one host all ranks are on that host.
  const bool says = ranks.ranksPerHost > 0 && ranks.ranksPerHost != ranks.ranks;
  return fmt::format("{} {} {} {} {} {} {}", qcclEnumName(qcclEnumColl, collective), memory, ranks.path, ranks.ranks,
                     says ? std::to_string(ranks.ranksPerHost) : "any", qcclEnumName(qcclEnumDataType, dtype),
                     qcclEnumName(qcclEnumCodec, codec));
}

std::vector<std::string> tuneLines(const std::string& key, const std::vector<TunedRow>& rows) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string upTo = i + 1 == rows.size() ? "max" : std::to_string(rows[i].upToBytes);
    lines.push_back(
        fmt::format("{} {} {} {} {}", key, upTo, rows[i].exact ? "none" : "asked", rows[i].algorithm, rows[i].requested.value_or("-")));
  }
  return lines;
}

std::string withLines(const std::string& table, const std::vector<std::string>& lines) {
  std::vector<std::string> keys;
  for (const std::string& line : lines) keys.push_back(keyOf(line));
  std::istringstream old(table.empty() ? kNewTable : table);
  std::string text;
  bool inserted = false;
  const auto insert = [&] {
    inserted = true;
    for (const std::string& line : lines) text += line + "\n";
  };
  bool versionSeen = false;
  for (std::string line; std::getline(old, line);) {
    const std::string key = keyOf(line);
    if (key.empty()) {
      text += line + "\n";
    } else if (!versionSeen) {
      versionSeen = true;
      text += line + "\n";
    } else {
      if (!inserted) insert();
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) text += line + "\n";
    }
  }
  if (!inserted) insert();
  return text;
}

void requireTuneFile(const std::string& path) {
  if (std::filesystem::exists(path)) return checkTable(path);
  std::ofstream file(path);
  if (!file) throw ToolError("--tune " + path + ": cannot be written: " + std::strerror(errno));
  file.close();
  std::filesystem::remove(path);
}

void updateTuneFile(const std::string& path, const std::vector<std::string>& lines) {
  const std::string fresh = path + ".new";
  {
    std::ofstream file(fresh, std::ios::trunc | std::ios::binary);
    file << withLines(readAll(path), lines) << std::flush;
    if (!file) throw ToolError("--tune " + fresh + ": cannot be written: " + std::strerror(errno));
  }
  try {
    checkTable(fresh);
  } catch (const ToolError&) {
    std::remove(fresh.c_str());
    throw;
  }
  if (std::rename(fresh.c_str(), path.c_str()) != 0) throw ToolError("--tune " + path + ": cannot be replaced: " + std::strerror(errno));
}

}  // namespace qccl::bench
