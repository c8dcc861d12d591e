// Who is to blame for a wait that has ended in vain. The rank that is waited for is often innocent: it waits for another itself.
#pragma once

#include <cstdint>
#include <string>

#include "transport/control.hpp"

namespace qccl::collectives {

// Follows, from rank `awaited`, who waits for whom in call number `call`, and says in half a sentence where that ends: "rank 2 has not made
// this call (its last was #20)". Asks the other ranks, for at most half a second.
std::string explainWait(transport::Control& control, int awaited, std::uint64_t call);

// The same over answers that are there: by rank, nullopt for none.
std::string explainWait(const std::vector<std::optional<transport::RankStatus>>& statuses, int awaited, std::uint64_t call);

}  // namespace qccl::collectives
