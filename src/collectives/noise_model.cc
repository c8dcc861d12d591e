#include "collectives/noise_model.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "collectives/algorithm_table.hpp"
#include "quant/wire_format.hpp"

namespace qccl::collectives {
namespace {

// The expected square of the largest magnitude among `elems` values of a normal distribution of variance 1: the integral over a of
// 2 a P(largest > a).
double expectedSquaredMaximum(std::size_t elems) {
  constexpr double kEnd = 9.0;
  constexpr int kSteps = 4096;
  double sum = 0;
  for (int i = 0; i < kSteps; ++i) {
    const double a = (i + 0.5) * kEnd / kSteps;
    sum += 2 * a * (1 - std::pow(std::erf(a / std::sqrt(2.0)), static_cast<double>(elems)));
  }
  return sum * kEnd / kSteps;
}

// Noise power over signal power of one rounding to the nearest int8 code. An error is even over one step of a / 127; the largest value
// of the block has none.
double int8Noise(std::size_t blockElems) {
  constexpr std::size_t kBlockSizes = std::bit_width(quant::kMaxBlockElems);
  static const auto table = [] {
    std::array<double, kBlockSizes> noise{};
    for (std::size_t block = quant::kMinBlockElems; block <= quant::kMaxBlockElems; block *= 2) {
      const double others = 1 - 1 / static_cast<double>(block);
      noise[static_cast<std::size_t>(std::bit_width(block) - 1)] = others * expectedSquaredMaximum(block) / (127.0 * 127.0 * 12);
    }
    return noise;
  }();
  return table[static_cast<std::size_t>(std::bit_width(blockElems) - 1)];
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
  // Rounding up or down by chance has twice the variance of rounding to the nearest.
  const double once = int8Noise(quant.blockElems) * (quant.rounding == qcclRoundStochastic ? 2 : 1);
  return -10 * std::log10(once * noiseFactor(coll, quant.algorithm, ranks));
}

}  // namespace qccl::collectives
