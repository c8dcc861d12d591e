// How the ranks of a communicator lie on hosts: what an algorithm may use besides their number.
#pragma once

#include <vector>

namespace qccl::collectives {

struct RankLayout {
  int size = 1;
  // rank = host * ranksPerHost + index on the host, on every host alike. 0: the ranks do not lie so, or it is not known.
  int ranksPerHost = 0;

  int hosts() const { return ranksPerHost > 0 ? size / ranksPerHost : 0; }
};

// hosts[r]: the number of rank r's host.
RankLayout layoutOf(const std::vector<int>& hosts);

}  // namespace qccl::collectives
