#include "collectives/noise_model.hpp"

#include <cmath>
#include <limits>

#include "collectives/algorithm_table.hpp"
#include "quant/precision.hpp"

namespace qccl::collectives {
namespace {

// What noiseFactor leaves out: a coded sum carries noise, which is coded with it, so that each coding multiplies the noise that there is by
// 1 + once. In a ring, where a sum of k inputs is coded `codings` - k times more, this counts; elsewhere there are too few in a row.
double growthInRing(int codings, double once) {
  double noise = 0, terms = 0;
  for (int k = 1; k <= codings; ++k) {
    noise = noise * (1 + once) + k;
    terms += k;
  }
  return noise / terms;
}

}  // namespace

double noiseFactor(qcclColl_t coll, qcclAlgo_t algorithm, const RankLayout& ranks) {
  if (coll == qcclCollAllReduce) return algorithmRow(algorithm).noise(ranks);
  // Reduce-scatter: the first half of ring, or of twoshot; the result is not quantized.
  const double size = ranks.size;
  return algorithm == qcclAlgoRing ? (size - 1) / 2 : (size - 1) / size;
}

double predictedSnrDb(qcclColl_t coll, const Quantization& quant, const RankLayout& ranks) {
  if (quant.codec == qcclCodecNone || ranks.size == 1) return std::numeric_limits<double>::infinity();
  const double onceDb = quant::predictedSnrDb(quant.format(), quant.rounding == qcclRoundStochastic);
  double factor = noiseFactor(coll, quant.algorithm, ranks);
  if (quant.algorithm == qcclAlgoRing) {
    factor *= growthInRing(coll == qcclCollAllReduce ? ranks.size : ranks.size - 1, std::pow(10.0, -onceDb / 10));
  }
  return onceDb - 10 * std::log10(factor);
}

}  // namespace qccl::collectives
