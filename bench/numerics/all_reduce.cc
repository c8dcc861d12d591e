#include "numerics/all_reduce.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "common/api.hpp"

namespace qccl::bench::numerics {
namespace {

constexpr double kFloatRoundoff = 0x1p-24;
constexpr double kBfloat16Roundoff = 0x1p-8;  // half a unit in the last of 8 bits

qcclQuantConfig_t configOf(const Case& c, std::uint64_t seed) {
  qcclQuantConfig_t quant = QCCL_QUANT_CONFIG_INITIALIZER;
  quant.codec = c.codec;
  quant.scale = c.scale;
  quant.blockElems = c.blockElems;
  quant.algorithm = c.algorithm;
  quant.rounding = c.rounding;
  quant.ranksPerHost = c.ranksPerHost;
  quant.seed = seed;
  quant.minBytes = 0;
  quant.minSnrDb = 0;
  quant.errorFeedback = 0;
  return quant;
}

// Elements of the case's type, widened.
std::vector<float> asFloats(const std::vector<char>& elements, qcclDataType_t dtype) {
  std::vector<float> values(elements.size() / qcclTypeSize(dtype));
  if (dtype == qcclFloat32) {
    std::memcpy(values.data(), elements.data(), elements.size());
    return values;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint16_t high = 0;
    std::memcpy(&high, elements.data() + 2 * i, 2);
    values[i] = std::bit_cast<float>(static_cast<std::uint32_t>(high) << 16);
  }
  return values;
}

std::vector<char> asElements(std::span<const float> values, qcclDataType_t dtype) {
  std::vector<char> elements(values.size() * qcclTypeSize(dtype));
  if (dtype == qcclFloat32) {
    std::memcpy(elements.data(), values.data(), elements.size());
    return elements;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto high = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values[i]) >> 16);
    std::memcpy(elements.data() + 2 * i, &high, 2);
  }
  return elements;
}

// The largest error that each block may have. Quantized: the plan's bound, W additions in FP32 and the rounding of the result. Exact: every
// partial sum is rounded to the type when it leaves a rank, at most W times, after FP32 additions.
std::vector<double> tolerances(const Case& c, const Input& input, const qcclPlan_t& plan) {
  std::vector<double> sums = input.largestOfBlocks(c.ranks, static_cast<std::size_t>(c.blockElems));
  const double rounding = c.dtype == qcclBfloat16 ? kBfloat16Roundoff : kFloatRoundoff;
  const double additions = (c.ranks + 1) * kFloatRoundoff;
  const double factor = c.codec == qcclCodecNone ? std::pow(1 + rounding + kFloatRoundoff, c.ranks + 1) - 1
                                                 : plan.errorBound + (1 + plan.errorBound) * (additions + rounding);
  for (double& sum : sums) sum *= factor;
  return sums;
}

Measure compare(const std::vector<float>& result, const std::vector<double>& exact, const std::vector<double>& tolerance,
                std::size_t block) {
  Measure m;
  double errors = 0, magnitudes = 0, cross = 0, cross2 = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double error = static_cast<double>(result[i]) - exact[i];
    m.signal += exact[i] * exact[i];
    m.noise += error * error;
    errors += error;
    magnitudes += std::fabs(exact[i]);
    cross += exact[i] * error;
    cross2 += exact[i] * exact[i] * error * error;
    if (error != 0) m.worstOverBound = std::max(m.worstOverBound, std::fabs(error) / tolerance[i / block]);
  }
  const auto n = static_cast<double>(exact.size());
  m.bias = errors / magnitudes;
  m.biasError = std::sqrt(std::max(0.0, m.noise - errors * errors / n)) / magnitudes;
  m.slope = 1 + cross / m.signal;
  m.slopeError = std::sqrt(cross2) / m.signal;
  return m;
}

}  // namespace

qcclPlan_t explain(const Case& c, std::size_t elems, Communicators& comms) {
  const qcclQuantConfig_t quant = configOf(c, 0);
  qcclPlan_t plan;
  check(qcclCommExplain(comms.ofSize(c.ranks)[0], qcclCollAllReduce, elems, c.dtype, qcclSum, &quant, &plan), "qcclCommExplain");
  if (plan.codec != c.codec || plan.algorithm != c.algorithm)
    throw ToolError(std::string("the library would do something else: ") + plan.reason);
  return plan;
}

Measure run(const Case& c, const Input& input, std::uint64_t seed, Communicators& comms) {
  const std::vector<qcclComm_t>& ranks = comms.ofSize(c.ranks);
  const qcclPlan_t plan = explain(c, input.elems(), comms);
  const qcclQuantConfig_t quant = configOf(c, seed);
  std::vector<std::vector<char>> buffers(ranks.size());
  onEachRank(c.ranks, [&](int rank) {
    const auto r = static_cast<std::size_t>(rank);
    buffers[r] = asElements(input.row(rank), c.dtype);
    check(qcclAllReduceEx(buffers[r].data(), buffers[r].data(), input.elems(), c.dtype, qcclSum, &quant, ranks[r], nullptr),
          "qcclAllReduceEx", ranks[r]);
  });
  for (const std::vector<char>& buffer : buffers) {
    if (buffer != buffers[0]) throw ToolError("the ranks hold different results");
  }
  return compare(asFloats(buffers[0], c.dtype), input.exactSum(c.ranks), tolerances(c, input, plan),
                 static_cast<std::size_t>(c.blockElems));
}

}  // namespace qccl::bench::numerics
