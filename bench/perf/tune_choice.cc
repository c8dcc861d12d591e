#include "perf/tune_choice.hpp"

#include <algorithm>

namespace qccl::bench {
namespace {

// The times of what was chosen of `ways` at each size, as one way.
Way chosenWay(const std::vector<Way>& ways, const std::vector<std::size_t>& choice) {
  Way way;
  way.exact = ways.front().exact;
  for (std::size_t size = 0; size < choice.size(); ++size) {
    way.times.push_back(ways[choice[size]].times[size]);
    way.error = std::max(way.error, ways[choice[size]].error);
  }
  return way;
}

}  // namespace

std::vector<std::size_t> steadyChoice(const std::vector<Way>& ways) {
  std::vector<std::size_t> choice;
  for (std::size_t size = 0; size < ways.front().times.size(); ++size) {
    const auto time = [&](std::size_t way) { return ways[way].times[size]; };
    double fastest = time(0);
    for (std::size_t way = 1; way < ways.size(); ++way) fastest = std::min(fastest, time(way));
    const auto isFast = [&](std::size_t way) { return fastest >= kClearly * time(way); };
    std::optional<std::size_t> best;
    for (std::size_t way = 0; way < ways.size(); ++way) {
      if (!isFast(way)) continue;
      const bool better = !best || ways[way].error < ways[*best].error || (ways[way].error == ways[*best].error && time(way) < time(*best));
      if (better) best = way;
    }
    const bool stays = !choice.empty() && isFast(choice.back()) && ways[choice.back()].error <= ways[*best].error;
    choice.push_back(stays ? choice.back() : *best);
  }
  return choice;
}

std::vector<TunedRow> tunedRows(const std::vector<std::size_t>& sizes, const std::vector<Way>& exact, const std::vector<Way>& quantized) {
  const std::vector<std::size_t> exactChoice = steadyChoice(exact);
  std::vector<TunedRow> rows;
  for (std::size_t size = 0; size < sizes.size(); ++size) rows.push_back({sizes[size], true, exact[exactChoice[size]].algorithm, {}});
  if (quantized.empty()) return rows;
  const std::vector<std::size_t> quantizedChoice = steadyChoice(quantized);
  const std::vector<std::size_t> kind = steadyChoice({chosenWay(exact, exactChoice), chosenWay(quantized, quantizedChoice)});
  for (std::size_t size = 0; size < sizes.size(); ++size) {
    const std::string& algorithm = quantized[quantizedChoice[size]].algorithm;
    if (kind[size] == 1) {
      rows[size].exact = false;
      rows[size].algorithm = algorithm;
    } else {
      rows[size].requested = algorithm;
    }
  }
  return rows;
}

std::vector<TunedRow> merged(const std::vector<TunedRow>& rows) {
  std::vector<TunedRow> result;
  for (const TunedRow& row : rows) {
    if (!result.empty() && result.back().sameChoice(row)) {
      result.back().upToBytes = row.upToBytes;
    } else {
      result.push_back(row);
    }
  }
  return result;
}

}  // namespace qccl::bench
