#include "collectives/blame.hpp"

#include <set>

namespace qccl::collectives {
namespace {

constexpr std::chrono::milliseconds kAskLimit{500};

}  // namespace

std::string explainWait(const std::vector<std::optional<transport::RankStatus>>& statuses, int awaited, std::uint64_t call) {
  std::set<int> seen;
  for (int rank = awaited;;) {
    const auto& status = statuses[static_cast<std::size_t>(rank)];
    if (!status) return strCat("rank ", rank, " does not answer: its process is stopped or cannot be reached");
    if (status->call < call) {
      return strCat("rank ", rank, " has not made this call (its last was #", status->call,
                    "): it hangs or is busy elsewhere, or its program makes fewer calls");
    }
    if (status->call > call)
      return strCat("rank ", rank, " is already at call #", status->call, ": its program makes other calls than this one");
    if (status->awaited < 0)
      return strCat("rank ", rank, " is in or past this call and does not wait: it is very slow, or the network between the ranks is");
    if (!seen.insert(rank).second)
      return strCat("the ranks wait for one another: messages between rank ", rank, " and rank ", status->awaited, " do not arrive");
    rank = status->awaited;
  }
}

std::string explainWait(transport::Control& control, int awaited, std::uint64_t call) {
  return explainWait(control.askStatuses(Deadline::in(kAskLimit)), awaited, call);
}

}  // namespace qccl::collectives
