#include "transport/rank_list.hpp"

#include "core/error.hpp"

namespace qccl::transport {

std::string rankList(const std::vector<int>& ranks) {
  constexpr std::size_t kShown = 8;
  QCCL_CHECK(!ranks.empty());
  if (ranks.size() == 1) return strCat("rank ", ranks.front());
  const std::size_t shown = ranks.size() > kShown + 1 ? kShown : ranks.size() - 1;
  std::string text = strCat("ranks ", ranks.front());
  for (std::size_t i = 1; i < shown; ++i) text += strCat(", ", ranks[i]);
  if (shown == ranks.size() - 1) return text + strCat(" and ", ranks.back());
  return text + strCat(" and ", ranks.size() - shown, " others");
}

}  // namespace qccl::transport
