#include "quant/precision.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <cmath>

#include "quant/block_scale.hpp"
#include "quant/codes.hpp"

namespace qccl::quant {
namespace {

// FP32 arithmetic around the codes: x * inverse and code * multiplier each have two roundings of 2^-24 on at most 127 units, 508 * 2^-23
// half units together.
constexpr double kArithmetic = 1.0 + 0x1p-14;

// A BF16 scale is a rounded up by less than 2^-7 of it.
constexpr double kBfloat16Excess = 1.0 + 0x1p-7;

// The largest error of a code over the largest magnitude of its block. To nearest it is half the distance between the two largest codes, at
// their middle; stochastically all of it, just above the lower one. With FP32 and BF16 scales the block's largest magnitude is the largest
// code; with E8M0 it may be as low as that middle, or that lower code, but not below half the largest code.
template <typename Code>
double largestErrorOf(bool powerOfTwoScale, bool stochastic) {
  const double top = static_cast<double>(Code::kMax);
  const auto largest = Code::nearest(Code::kMax);
  const double second = static_cast<double>(Code::value(static_cast<std::uint8_t>(largest - 1)));
  const double error = (stochastic ? 1.0 : 0.5) * (top - second);
  if (!powerOfTwoScale) return error / top;
  if constexpr (Code::kIsInteger) return error / (top / 2);
  const double binade = std::exp2(std::floor(std::log2(top)));
  return error / (stochastic ? binade : binade + error);
}

// a so that a block of `elems` normal values has a largest magnitude below a with probability p.
double quantileOfLargest(double p, std::size_t elems) {
  const double each = std::pow(p, 1.0 / static_cast<double>(elems));
  double low = 0.0, high = 9.0;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (std::erf(middle * M_SQRT1_2) < each ? low : high) = middle;
  }
  return low;
}

// Mean square error of a block of `elems` normal values, the largest of magnitude a, over their variance; `deviation` is their standard
// deviation, and a in units of it.
template <typename Code>
double noiseOf(double a, double deviation, std::size_t elems, qcclScale_t scale, bool stochastic) {
  constexpr int kPoints = 512;
  const auto largest = static_cast<float>(a * deviation);
  const std::uint32_t stored = storedScale(scale, Code::kMax, magnitudeBits(largest));
  const BlockEncoder encoder(scale, Code::kMax, stored);
  const BlockDecoder decoder(scale, Code::kMax, stored);
  double noise = 0.0, weights = 0.0;
  for (int i = 0; i < kPoints; ++i) {
    const double x = (i + 0.5) / kPoints * a;
    const double weight = std::exp(-0.5 * x * x);
    const float y = encoder.scaled(static_cast<float>(x * deviation));
    double square = 0.0;
    if (stochastic) {
      // The two codes around x have these errors, with the probability of the other's distance.
      const double below = x - static_cast<double>(decoder.decode(Code::value(Code::stochastic(y, 1.0f - 0x1p-24f)))) / deviation;
      const double above = x - static_cast<double>(decoder.decode(Code::value(Code::stochastic(y, 0.0f)))) / deviation;
      square = std::fabs(below * above);
    } else {
      const double error = x - static_cast<double>(decoder.decode(Code::value(Code::nearest(y)))) / deviation;
      square = error * error;
    }
    noise += weight * square;
    weights += weight;
  }
  const double others = static_cast<double>(elems - 1) / static_cast<double>(elems);
  const double ofLargest = a - static_cast<double>(decoder.decode(Code::value(Code::nearest(encoder.scaled(largest))))) / deviation;
  return others * noise / weights + (1.0 - others) * ofLargest * ofLargest;
}

double computeSnrDb(const PackedFormat& format, bool stochastic) {
  // BF16 keeps 8 bits of every value: the mean of (2^-8 x)^2 / 3 over a binade's mantissas, as a fraction of the power of x.
  if (format.codec == qcclCodecBf16) {
    // Step 2^-7 of the binade's bottom; E[bottom^2 / x^2] for mantissas uniform in the logarithm is 3 / (8 ln 2).
    const double step = 0x1p-7 * 0x1p-7 * 3.0 / (8.0 * M_LN2);
    return -10.0 * std::log10(step / (stochastic ? 6.0 : 12.0));
  }
  constexpr int kQuantiles = 128;
  // Scales that are powers of two waste up to half of the codes, depending on where between two of them the largest magnitude lies, and
  // so on how large the values are. That is not known: the mean over a whole octave.
  const int sizes = format.scale == qcclScaleE8m0 ? 16 : 1;
  double noise = 0.0;
  for (int i = 0; i < kQuantiles; ++i) {
    const double a = quantileOfLargest((i + 0.5) / kQuantiles, format.blockElems);
    for (int size = 0; size < sizes; ++size) {
      const double deviation = std::exp2(static_cast<double>(size) / sizes);
      noise += withCode(format.codec,
                        [&]<typename Code>(Code) { return noiseOf<Code>(a, deviation, format.blockElems, format.scale, stochastic); });
    }
  }
  return -10.0 * std::log10(noise / (kQuantiles * sizes));
}

}  // namespace

double largestError(const PackedFormat& format, bool stochastic) {
  if (format.codec == qcclCodecBf16) return stochastic ? 0x1p-7 : 0x1p-8;
  const bool powerOfTwoScale = format.scale == qcclScaleE8m0;
  const double error = withCode(format.codec, [&]<typename Code>(Code) { return largestErrorOf<Code>(powerOfTwoScale, stochastic); });
  return error * kArithmetic * (format.scale == qcclScaleBfloat16 ? kBfloat16Excess : 1.0);
}

double predictedSnrDb(const PackedFormat& format, bool stochastic) {
  static std::array<std::atomic<double>, std::size_t{qcclNumCodecs} * qcclNumScales * 8 * 2> known{};  // 0: not computed yet
  const auto blockIndex = static_cast<std::size_t>(std::countr_zero(format.blockElems / kMinBlockElems));
  const std::size_t index =
      ((static_cast<std::size_t>(format.codec) * qcclNumScales + static_cast<std::size_t>(format.scale)) * 8 + blockIndex) * 2 +
      (stochastic ? 1 : 0);
  std::atomic<double>& entry = known.at(index);
  double snr = entry.load(std::memory_order_relaxed);
  if (snr == 0.0) {
    snr = computeSnrDb(format, stochastic);
    entry.store(snr, std::memory_order_relaxed);
  }
  return snr;
}

}  // namespace qccl::quant
