#include "collectives/algorithm_table.hpp"

#include <cmath>

#include "collectives/tree_shape.hpp"
#include "core/error.hpp"
#include "core/types.hpp"
#include "quant/precision.hpp"

namespace qccl::collectives {

namespace {

using Ranks = RankLayout;

int zero(const Ranks&) { return 0; }
int one(const Ranks&) { return 1; }
int two(const Ranks&) { return 2; }
int size(const Ranks& ranks) { return ranks.size; }

// Each value that is coded adds the noise of as many terms as it sums; the result sums W.
double exactNoise(const Ranks&) { return 0; }
double oneshotNoise(const Ranks&) { return 1; }
double twoshotNoise(const Ranks& ranks) { return 2 - 1.0 / ranks.size; }
double ringNoise(const Ranks& ranks) { return (ranks.size + 1) / 2.0; }
double treeNoise(const Ranks& ranks) { return treeMeanDepth(ranks.size) + 1; }
double hierNoise(const Ranks& ranks) { return 3 - 1.0 / ranks.ranksPerHost - 1.0 / ranks.hosts(); }

int hierQuantizations(const Ranks& ranks) { return ranks.hosts() == 1 || ranks.ranksPerHost == 1 ? 2 : 3; }

}  // namespace

const std::vector<AlgorithmRow>& algorithmTable() {
  static const std::vector<AlgorithmRow> table = {
      {{qcclAlgoOneshot, "oneshot", "every rank sends its codes to all; each adds the codes of all ranks in rank order", "(W-1) N b", "1",
        "small messages; any size at W = 2"},
       one,
       oneshotNoise,
       one,
       [](int rank, const Ranks& ranks) { return oneshotSchedule(rank, ranks.size); }},
      {{qcclAlgoTwoshot, "twoshot", "all-to-all of chunks, local FP32 sum by the chunk's owner, one requantization, all-gather",
        "2 (W-1)/W N b", "2", "the precise default for large messages"},
       two,
       twoshotNoise,
       size,
       [](int rank, const Ranks& ranks) { return twoshotSchedule(rank, ranks.size); }},
      {{qcclAlgoRing, "ring", "W-1 hops of decode, FP32 add, encode between neighbours; then the codes of the sums travel round",
        "2 (W-1)/W N b", "W", "networks where only neighbours have good links"},
       size,
       ringNoise,
       size,
       [](int rank, const Ranks& ranks) { return ringSchedule(rank, ranks.size); }},
      {{qcclAlgoTree, "tree", "partial sums go up two mirrored binary trees with half of the message each, results come down",
        "about 2 N b at an inner rank", "ceil(log2 W) + 1", "latency at large W"},
       [](const Ranks& ranks) { return treeHeight(ranks.size) + 1; },
       treeNoise,
       two,
       [](int rank, const Ranks& ranks) { return treeSchedule(rank, ranks.size); }},
      {{qcclAlgoHier, "hier", "twoshot inside each host, twoshot of the hosts' partial sums between them, the result's codes to all",
        "2 (W-1)/W N b, of which 2 (H-1)/W N b leave the host (H hosts)", "3", "several hosts with several ranks each"},
       hierQuantizations,
       hierNoise,
       size,
       [](int rank, const Ranks& ranks) { return hierSchedule(rank, ranks.size, ranks.ranksPerHost); },
       /*needsHosts=*/true},
      // Not a schedule of ours. Its bytes are those of any algorithm that sends no more than it must, twoshot's for one.
      {{qcclAlgoNccl, "nccl", "the real NCCL's own collective: exact, on GPU memory only", "2 (W-1)/W N", "0",
        "GPU memory, where NCCL is faster"},
       zero,
       exactNoise,
       size,
       [](int rank, const Ranks& ranks) { return twoshotSchedule(rank, ranks.size); }},
  };
  return table;
}

const AlgorithmRow& algorithmRow(qcclAlgo_t algorithm) {
  for (const AlgorithmRow& row : algorithmTable()) {
    if (row.info.algorithm == algorithm) return row;
  }
  fail(qcclInvalidArgument, "there is no all-reduce algorithm number ", static_cast<int>(algorithm), "; use one of ",
       enumNames(qcclEnumAlgo));
}

double errorBoundFactor(int quantizations, const Quantization& quant) {
  if (quant.codec == qcclCodecNone) return 0.0;
  const double each = quant::largestError(quant.format(), quant.rounding == qcclRoundStochastic);
  return std::pow(1.0 + each, quantizations) - 1.0;
}

}  // namespace qccl::collectives
