#include "perf/verify.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "perf/number_formats.hpp"

namespace qccl::bench {
namespace {

// A multiple of every block size, so that blocks never straddle tiles.
constexpr std::size_t kTileElems = 16384;

struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// The elements of the result that this rank checks.
Range shareOf(const Options& options, const Shape& shape, int rank, int ranks) {
  if (!receives(options.collective, rank, options.root)) return {};
  if (!isSameEverywhere(options.collective)) return {0, shape.recvElems};
  const std::size_t tiles = (shape.recvElems + kTileElems - 1) / kTileElems;
  const auto r = static_cast<std::size_t>(rank);
  const auto w = static_cast<std::size_t>(ranks);
  return {std::min(shape.recvElems, tiles * r / w * kTileElems), std::min(shape.recvElems, tiles * (r + 1) / w * kTileElems)};
}

// Exact answers for a tile of the result, and how far from them a right result may be.
class Expectation {
 public:
  Expectation(const Options& options, const Shape& shape, const InputData& data, const qcclPlan_t& plan, int rank, int ranks)
      : options_(options), shape_(shape), data_(data), plan_(plan), rank_(rank), ranks_(ranks), precision_(precisionOf(options.dtype)) {}

  void prepare(std::size_t first, std::size_t elems) {
    reference_.assign(elems, 0.0);
    tolerance_.assign(elems, 0.0);
    input_.resize(elems);
    if (isReduction(options_.collective)) {
      prepareReduction(first);
    } else {
      prepareCopy(first);
    }
  }

  double reference(std::size_t i) const { return reference_[i]; }
  double tolerance(std::size_t i) const { return tolerance_[i]; }

 private:
  // Of one element of the result: whose input, and which element of it.
  void prepareCopy(std::size_t first) {
    for (std::size_t done = 0; done < reference_.size();) {
      const std::size_t at = first + done;
      const std::size_t index = options_.collective == qcclCollAllGather ? at % shape_.count : at;
      const std::size_t run =
          options_.collective == qcclCollAllGather ? std::min(reference_.size() - done, shape_.count - index) : reference_.size() - done;
      data_.values(sourceOf(at), index, std::span<double>(reference_).subspan(done, run));
      done += run;
    }
  }

  int sourceOf(std::size_t at) const {
    switch (options_.collective) {
      case qcclCollAllGather:
        return static_cast<int>(at / shape_.count);
      case qcclCollBroadcast:
        return options_.root;
      default:
        return (rank_ + ranks_ - 1) % ranks_;
    }
  }

  void prepareReduction(std::size_t first) {
    const std::size_t elems = reference_.size();
    const std::size_t offset = options_.collective == qcclCollReduceScatter ? static_cast<std::size_t>(rank_) * shape_.count : 0;
    std::vector<double> magnitudes(elems, 0.0);    // sum over ranks of |x|
    std::vector<double> blockLargest(elems, 0.0);  // sum over ranks of max|x| over the block, at the block's first element
    for (int r = 0; r < ranks_; ++r) {
      data_.values(r, offset + first, input_);
      for (std::size_t i = 0; i < elems; ++i) {
        reference_[i] = r == 0 ? input_[i] : reduce(reference_[i], input_[i]);
        magnitudes[i] += std::fabs(input_[i]);
      }
      if (plan_.codec != qcclCodecNone) addBlockLargest(blockLargest);
    }
    const double scale = options_.op == qcclAvg ? 1.0 / ranks_ : 1.0;
    for (std::size_t i = 0; i < elems; ++i) {
      if (options_.op == qcclAvg) reference_[i] = isFloating(options_.dtype) ? reference_[i] / ranks_ : std::trunc(reference_[i] / ranks_);
      tolerance_[i] =
          plan_.codec != qcclCodecNone ? quantizedTolerance(i, magnitudes[i], blockLargest, scale) : exactTolerance(magnitudes[i] * scale);
    }
  }

  double reduce(double a, double b) const {
    switch (options_.op) {
      case qcclProd:
        return a * b;
      case qcclMax:
        return std::max(a, b);
      case qcclMin:
        return std::min(a, b);
      default:
        return a + b;
    }
  }

  // Tiles start at block boundaries, so blocks do as well.
  void addBlockLargest(std::vector<double>& blockLargest) const {
    const auto block = static_cast<std::size_t>(plan_.blockElems);
    for (std::size_t begin = 0; begin < input_.size(); begin += block) {
      double largest = 0;
      for (std::size_t i = begin; i < std::min(input_.size(), begin + block); ++i) largest = std::max(largest, std::fabs(input_[i]));
      blockLargest[begin] += largest;
    }
  }

  // The library's bound for quantization, and rounding: W additions in FP32 and the result to its type.
  double quantizedTolerance(std::size_t i, double magnitude, const std::vector<double>& blockLargest, double scale) const {
    const auto block = static_cast<std::size_t>(plan_.blockElems);
    const double quantization = plan_.errorBound * blockLargest[i / block * block];
    const double additions = (ranks_ + 1) * kFloatRoundoff * (magnitude + quantization);
    const double result =
        precision_.unitRoundoff * (std::fabs(reference_[i]) + scale * (quantization + additions)) + precision_.smallestHalfStep;
    return scale * (quantization + additions) + result;
  }

  // Exact data must come out exact. Otherwise partial sums are rounded to the type each time they leave a rank, at most W times, and in
  // FP32 (FP64 for float64) before; an average is rounded twice more.
  double exactTolerance(double magnitude) const {
    const bool rounds = isFloating(options_.dtype) && (options_.op == qcclSum || options_.op == qcclAvg || options_.op == qcclProd);
    const bool wholeAnswer = data_.isExact() && options_.op != qcclAvg;
    if (!rounds || wholeAnswer) return 0;
    const double workRoundoff = options_.dtype == qcclFloat64 ? precision_.unitRoundoff : kFloatRoundoff;
    return (ranks_ + 2) * ((precision_.unitRoundoff + workRoundoff) * magnitude + precision_.smallestHalfStep);
  }

  static constexpr double kFloatRoundoff = 0x1p-24;

  const Options& options_;
  const Shape& shape_;
  const InputData& data_;
  const qcclPlan_t& plan_;
  int rank_;
  int ranks_;
  Precision precision_;
  std::vector<double> reference_;
  std::vector<double> tolerance_;
  std::vector<double> input_;
};

void addElement(double result, double reference, double tolerance, ErrorSums* sums) {
  const double error = std::fabs(result - reference);
  sums->reference2 += reference * reference;
  sums->error2 += error * error;
  if (error <= tolerance) {
    if (tolerance > 0) sums->maxOverBound = std::max(sums->maxOverBound, error / tolerance);
    return;
  }
  // Also when the result is NaN, which no data of this tool asks for.
  ++sums->numWrong;
  const double over = tolerance > 0 && std::isfinite(error) ? error / tolerance : std::numeric_limits<double>::max();
  sums->maxOverBound = std::max(sums->maxOverBound, over);
}

}  // namespace

ErrorSums checkResult(const Options& options, const Shape& shape, const InputData& data, const qcclPlan_t& plan, const void* result,
                      int rank, int ranks) {
  ErrorSums sums;
  Expectation expected(options, shape, data, plan, rank, ranks);
  std::vector<double> values(kTileElems);
  const Range share = shareOf(options, shape, rank, ranks);
  for (std::size_t first = share.begin; first < share.end; first += kTileElems) {
    const std::span<double> tile(values.data(), std::min(kTileElems, share.end - first));
    expected.prepare(first, tile.size());
    decodeElements(result, first, options.dtype, tile);
    for (std::size_t i = 0; i < tile.size(); ++i) addElement(tile[i], expected.reference(i), expected.tolerance(i), &sums);
  }
  return sums;
}

std::uint64_t hashBytes(const void* bytes, std::size_t count) {
  const auto* at = static_cast<const unsigned char*>(bytes);
  std::uint64_t hash = 0x243f6a8885a308d3u ^ count;
  const auto absorb = [&hash](std::uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
  };
  for (; count >= 8; at += 8, count -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, 8);
    absorb(word);
  }
  std::uint64_t tail = 0;
  if (count > 0) std::memcpy(&tail, at, count);
  absorb(tail);
  return hash;
}

Quality combine(const ErrorSums& mine, std::uint64_t firstHash, std::uint64_t secondHash, qcclColl_t collective, Rank& rank) {
  const double repeated = firstHash == secondHash ? 1 : 0;
  const std::vector<double> numbers = {mine.reference2, mine.error2, mine.maxOverBound, static_cast<double>(mine.numWrong), repeated};
  const std::vector<double> all = rank.gather(numbers);
  const std::vector<std::uint64_t> hashes = rank.gather(firstHash);
  double reference2 = 0;
  double error2 = 0;
  Quality quality;
  quality.repeatable = true;
  for (std::size_t at = 0; at < all.size(); at += numbers.size()) {
    reference2 += all[at];
    error2 += all[at + 1];
    quality.maxErrOverBound = std::max(quality.maxErrOverBound, all[at + 2]);
    quality.numWrong += static_cast<std::uint64_t>(all[at + 3]);
    quality.repeatable = quality.repeatable && all[at + 4] == 1.0;
  }
  quality.snrDb = error2 == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(reference2 / error2);
  if (isSameEverywhere(collective)) {
    quality.rankIdentical = std::all_of(hashes.begin(), hashes.end(), [&](std::uint64_t hash) { return hash == hashes[0]; });
  }
  return quality;
}

}  // namespace qccl::bench
