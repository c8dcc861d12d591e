#include "info/print.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

namespace qccl::bench {
namespace {

std::string orDash(const std::string& text) { return text.empty() ? "-" : text; }

// A cell of a Markdown table: '|' would end it.
std::string cell(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string boundsText(const std::vector<double>& bounds) {
  std::string text;
  for (const double bound : bounds) text += fmt::format("{:>10.6f}", bound);
  return text;
}

}  // namespace

std::string aboutPage(const LibraryFacts& facts) {
  std::string page = fmt::format("qccl {}\n\nBuild\n", facts.version);
  for (const auto& [key, value] : facts.build) page += fmt::format("  {:<14} {}\n", key, value);
  page += "\nProcessor\n";
  for (const auto& [key, value] : facts.cpu) page += fmt::format("  {:<14} {}\n", key, value);
  return page;
}

std::string settingsPage(const std::vector<Setting>& settings) {
  std::string page = "Settings (environment variables; * = set here)\n";
  for (const Setting& s : settings) {
    page +=
        fmt::format("{} {:<22} {:<12} default {:<8} {}\n", s.isSet ? '*' : ' ', s.name, orDash(s.value), orDash(s.defaultValue), s.allowed);
    page += fmt::format("    {}{}\n", s.doc, s.unit.empty() ? "" : " [" + s.unit + "]");
  }
  return page;
}

std::string algorithmsPage(const std::vector<AlgorithmRow>& algorithms) {
  std::string page = "All-reduce algorithms (N: bytes of the message, W: ranks, b: bytes on the wire for each byte of data)\n";
  for (const AlgorithmRow& row : algorithms) {
    page += fmt::format("  {:<9} {}\n", row.name, row.summary);
    page += fmt::format("            wire bytes a rank: {}   quantizations: {}   best for: {}\n", row.wireBytes, row.quantizations,
                        row.bestFor);
  }
  page += "\nError bound with codec int8: |result - exact sum| <= factor * sum over ranks of max|x| over the element's block\n";
  page += fmt::format("  {:<9} {:<30} {}\n", "", "      rounding nearest", "      rounding stochastic");
  std::string ranks;
  for (const int w : kBoundRanks) ranks += fmt::format("{:>10}", fmt::format("W={}", w));
  page += fmt::format("  {:<9}{}  {}\n", "", ranks, ranks);
  for (const AlgorithmRow& row : algorithms) {
    page += fmt::format("  {:<9}{}  {}\n", row.name, boundsText(row.nearestBounds), boundsText(row.stochasticBounds));
  }
  return page;
}

std::string settingsMarkdown(const std::vector<Setting>& settings) {
  std::string page =
      "# Settings\n"
      "\n"
      "<!-- Written by `qccl-info --config-markdown`; a test compares them. Change the table in src/core/settings.cc, not this page. -->\n"
      "\n"
      "Environment variables. They are read when a communicator is made; a field of `qcclConfig_t` that the program sets itself wins. A "
      "value that is not allowed is an\n"
      "error that names the variable, never a guess. Sizes take K, M and G (powers of 1024). `qccl-info --config` shows the values in "
      "force.\n"
      "\n"
      "| variable | type | default | unit | allowed | what it does |\n"
      "|---|---|---|---|---|---|\n";
  for (const Setting& s : settings) {
    const std::string defaultText = s.defaultValue.empty() ? "" : "`" + cell(s.defaultValue) + "`";
    page += fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", s.name, s.type, defaultText, s.unit, cell(s.allowed), cell(s.doc));
  }
  return page;
}

std::string jsonPage(const LibraryFacts& facts) {
  using nlohmann::ordered_json;
  ordered_json page;
  page["version"] = facts.version;
  for (const auto& [key, value] : facts.build) page["build"][key] = value;
  for (const auto& [key, value] : facts.cpu) page["cpu"][key] = value;
  page["settings"] = ordered_json::array();
  for (const Setting& s : facts.settings) {
    page["settings"].push_back({{"name", s.name},
                                {"type", s.type},
                                {"default", s.defaultValue},
                                {"value", s.value},
                                {"unit", s.unit},
                                {"allowed", s.allowed},
                                {"doc", s.doc},
                                {"is_set", s.isSet}});
  }
  page["algorithms"] = ordered_json::array();
  for (const AlgorithmRow& row : facts.algorithms) {
    ordered_json nearest;
    ordered_json stochastic;
    for (std::size_t i = 0; i < std::size(kBoundRanks); ++i) {
      nearest[std::to_string(kBoundRanks[i])] = row.nearestBounds[i];
      stochastic[std::to_string(kBoundRanks[i])] = row.stochasticBounds[i];
    }
    page["algorithms"].push_back({{"name", row.name},
                                  {"summary", row.summary},
                                  {"wire_bytes", row.wireBytes},
                                  {"quantizations", row.quantizations},
                                  {"best_for", row.bestFor},
                                  {"int8_bound_nearest", nearest},
                                  {"int8_bound_stochastic", stochastic}});
  }
  page["tuning"] = ordered_json::array();
  std::istringstream lines(facts.tuning);
  for (std::string line; std::getline(lines, line);) page["tuning"].push_back(line);
  return page.dump(2) + "\n";
}

}  // namespace qccl::bench
