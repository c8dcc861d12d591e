#include "collectives/rank_layout.hpp"

#include <algorithm>
#include <cstddef>

namespace qccl::collectives {

RankLayout layoutOf(const std::vector<int>& hosts) {
  RankLayout layout{static_cast<int>(hosts.size()), 0};
  const auto endOfFirst = std::find_if(hosts.begin(), hosts.end(), [&](int host) { return host != hosts.front(); });
  const auto each = static_cast<std::size_t>(endOfFirst - hosts.begin());
  if (each == 0 || hosts.size() % each != 0) return layout;
  for (std::size_t first = 0; first < hosts.size(); first += each) {
    const auto run = hosts.begin() + static_cast<std::ptrdiff_t>(first);
    const bool together = std::all_of(run, run + static_cast<std::ptrdiff_t>(each), [&](int host) { return host == *run; });
    // A host that comes back later would have been counted before.
    if (!together || std::find(hosts.begin(), run, *run) != run) return layout;
  }
  layout.ranksPerHost = static_cast<int>(each);
  return layout;
}

}  // namespace qccl::collectives
