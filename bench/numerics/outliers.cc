#include "numerics/outliers.hpp"

#include <qccl/packed.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "common/api.hpp"

namespace qccl::bench::numerics {
namespace {

constexpr int kExactValues[] = {1, 2, 4};

// What comes back of values that are quantized once.
std::vector<float> roundTrip(const std::vector<float>& values, const qcclPackedFormat_t& format, std::size_t* bytes) {
  check(qcclPackedBytes(values.size(), &format, bytes), "qcclPackedBytes");
  std::vector<std::max_align_t> packed(*bytes / sizeof(std::max_align_t) + 1);
  std::vector<float> decoded(values.size());
  check(qcclQuantize(values.data(), packed.data(), values.size(), qcclFloat32, &format, nullptr, nullptr), "qcclQuantize");
  check(qcclDequantize(packed.data(), decoded.data(), values.size(), qcclFloat32, &format, nullptr), "qcclDequantize");
  return decoded;
}

// Indices of the largest values of every block.
std::vector<std::size_t> largestOfBlocks(const std::vector<float>& values, const OutlierCase& c) {
  const auto block = static_cast<std::size_t>(c.blockElems);
  std::vector<std::size_t> taken;
  for (std::size_t begin = 0; begin < values.size(); begin += block) {
    std::vector<std::size_t> order(std::min(block, values.size() - begin));
    std::iota(order.begin(), order.end(), begin);
    const auto some = static_cast<std::ptrdiff_t>(std::min<std::size_t>(static_cast<std::size_t>(c.exactValues), order.size()));
    std::partial_sort(order.begin(), order.begin() + some, order.end(),
                      [&](std::size_t a, std::size_t b) { return std::fabs(values[a]) > std::fabs(values[b]); });
    taken.insert(taken.end(), order.begin(), order.begin() + some);
  }
  return taken;
}

float stored(float x, int valueBytes) {
  if (valueBytes == 4) return x;
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
}

}  // namespace

std::vector<OutlierCase> outlierCases(const std::vector<qcclCodec_t>& only) {
  std::vector<OutlierCase> cases;
  for (const qcclCodec_t codec : {qcclCodecInt4, qcclCodecInt5, qcclCodecInt6, qcclCodecInt8}) {
    if (!only.empty() && std::find(only.begin(), only.end(), codec) == only.end()) continue;
    for (int block = 32; block <= 1024; block *= 2) {
      for (const qcclScale_t scale : {qcclScaleFloat32, qcclScaleBfloat16}) {
        cases.push_back({codec, scale, block, 0, 0});
        for (const int exact : kExactValues) {
          cases.push_back({codec, scale, block, exact, 2});
          cases.push_back({codec, scale, block, exact, 4});
        }
      }
    }
  }
  return cases;
}

OutlierResult measureOutliers(const OutlierCase& c, const std::vector<float>& values) {
  const qcclPackedFormat_t format{c.codec, c.scale, c.blockElems};
  const std::vector<std::size_t> taken = c.exactValues > 0 ? largestOfBlocks(values, c) : std::vector<std::size_t>();
  std::vector<float> rest = values;
  for (const std::size_t i : taken) rest[i] = 0;
  std::size_t bytes = 0;
  std::vector<float> decoded = roundTrip(rest, format, &bytes);
  for (const std::size_t i : taken) decoded[i] = stored(values[i], c.valueBytes);
  bytes += taken.size() * static_cast<std::size_t>(c.valueBytes + (c.blockElems > 256 ? 2 : 1));
  double signal = 0, noise = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    signal += std::pow(static_cast<double>(values[i]), 2);
    noise += std::pow(static_cast<double>(decoded[i]) - static_cast<double>(values[i]), 2);
  }
  return {c, static_cast<double>(bytes) / static_cast<double>(values.size()), 10 * std::log10(signal / noise)};
}

}  // namespace qccl::bench::numerics
