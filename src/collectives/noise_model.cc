#include "collectives/noise_model.hpp"

#include <cmath>
#include <limits>

#include "collectives/algorithm_table.hpp"
#include "quant/precision.hpp"

namespace qccl::collectives {

double noiseFactor(qcclColl_t coll, qcclAlgo_t algorithm, const RankLayout& ranks) {
  if (coll == qcclCollAllReduce) return algorithmRow(algorithm).noise(ranks);
  // Reduce-scatter: the first half of ring, or of twoshot; the result is not quantized.
  const double size = ranks.size;
  return algorithm == qcclAlgoRing ? (size - 1) / 2 : (size - 1) / size;
}

double predictedSnrDb(qcclColl_t coll, const Quantization& quant, const RankLayout& ranks) {
  if (quant.codec == qcclCodecNone || ranks.size == 1) return std::numeric_limits<double>::infinity();
  const double once = quant::predictedSnrDb(quant.format(), quant.rounding == qcclRoundStochastic);
  return once - 10 * std::log10(noiseFactor(coll, quant.algorithm, ranks));
}

}  // namespace qccl::collectives
