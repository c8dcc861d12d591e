// Ranks as words in error sentences.
#pragma once

#include <string>
#include <vector>

namespace qccl::transport {

// "rank 3", "ranks 1, 2 and 5"; long lists are cut: "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 20 others". `ranks` must not be empty.
std::string rankList(const std::vector<int>& ranks);

}  // namespace qccl::transport
