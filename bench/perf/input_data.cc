#include "perf/input_data.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "perf/number_formats.hpp"

namespace qccl::bench {
namespace {

constexpr std::size_t kTileElems = 16384;

// A finalizer in the manner of splitmix64: every input bit reaches every output bit.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

std::uint64_t draws(std::uint64_t key, std::uint64_t index) { return mix(key ^ mix(index)); }

// Upper and lower half of a draw as numbers in (0, 1).
double upperUnit(std::uint64_t bits) { return (static_cast<double>(bits >> 32) + 0.5) * 0x1p-32; }
double lowerUnit(std::uint64_t bits) { return (static_cast<double>(bits & 0xffffffffu) + 0.5) * 0x1p-32; }

// Box and Muller's transform gives two normal values for one draw: elements 2k and 2k + 1.
double normalValue(std::uint64_t key, std::uint64_t index) {
  const std::uint64_t bits = draws(key, index / 2);
  const double radius = std::sqrt(-2.0 * std::log(upperUnit(bits)));
  const double angle = 2.0 * std::numbers::pi * lowerUnit(bits);
  return radius * (index % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

// How large whole-number data may be so that sums over all ranks stay exact, and 8-bit integers do not wrap.
double largestWhole(qcclDataType_t dtype, int ranks) {
  const Precision precision = precisionOf(dtype);
  const double exactUpTo = std::min(std::ldexp(1.0, precision.significandBits) - 1, precision.largest);
  return std::clamp(std::floor(exactUpTo / ranks), 1.0, 100.0);
}

}  // namespace

InputData::InputData(const Options& options, int ranks)
    : dtype_(options.dtype),
      kind_(options.data),
      product_(options.op == qcclProd && (options.collective == qcclCollAllReduce || options.collective == qcclCollReduceScatter ||
                                          options.collective == qcclCollReduce)),
      exact_(false),
      ranks_(ranks),
      seed_(options.seed),
      largestWhole_(largestWhole(options.dtype, ranks)) {
  const Precision precision = precisionOf(dtype_);
  const bool sumsFit = largestWhole_ * ranks <= std::ldexp(1.0, precision.significandBits);
  exact_ = product_ || ((!isFloating(dtype_) || kind_ == DataKind::integers) && sumsFit);
}

void InputData::draw(int rank, std::size_t first, std::span<double> values) const {
  const std::uint64_t key = mix(mix(seed_) + static_cast<std::uint64_t>(rank));
  if (product_) {
    // Most factors are 1; for each element two ranks have 2 or 3 (one of them negative where the type allows it), so that every product is
    // exact.
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint64_t index = first + i;
      const auto chosen = static_cast<int>(draws(mix(seed_), index) % static_cast<std::uint64_t>(ranks_));
      const bool second = (chosen + 1) % ranks_ == rank && ranks_ > 1;
      const double sign = isUnsigned(dtype_) ? 1 : -1;
      values[i] = chosen == rank ? 2 : second ? 3 * sign : 1;
    }
    return;
  }
  if (!isFloating(dtype_) || kind_ == DataKind::integers) {
    const double low = isUnsigned(dtype_) ? 0 : -largestWhole_;
    const auto choices = static_cast<std::uint64_t>(largestWhole_ - low) + 1;
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = low + static_cast<double>(draws(key, first + i) % choices);
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint64_t index = first + i;
    switch (kind_) {
      case DataKind::normal:
        values[i] = normalValue(key, index);
        break;
      case DataKind::uniform:
        values[i] = 2.0 * upperUnit(draws(key, index)) - 1.0;
        break;
      // Student's t with two degrees of freedom, but for a last few outliers that float16 sums could not hold.
      case DataKind::heavy:
        values[i] = normalValue(key, index) / std::sqrt(std::max(upperUnit(draws(~key, index)), 0x1p-16));
        break;
      case DataKind::integers:
        break;
    }
  }
}

void InputData::values(int rank, std::size_t first, std::span<double> values) const {
  draw(rank, first, values);
  if (exact_ || dtype_ == qcclFloat64) return;  // already values of the type
  std::vector<std::uint64_t> elements(values.size());
  encodeElements(values, dtype_, elements.data());
  decodeElements(elements.data(), 0, dtype_, values);
}

void InputData::fill(int rank, std::size_t elems, void* elements) const {
  std::vector<double> tile(std::min(elems, kTileElems));
  for (std::size_t first = 0; first < elems; first += kTileElems) {
    const std::span<double> part(tile.data(), std::min(kTileElems, elems - first));
    draw(rank, first, part);
    encodeElements(part, dtype_, static_cast<char*>(elements) + first * qcclTypeSize(dtype_));
  }
}

}  // namespace qccl::bench
