#include "numerics/input.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>

#include "common/api.hpp"
#include "numerics/rank_threads.hpp"

namespace qccl::bench::numerics {
namespace {

void draw(DataKind kind, std::mt19937_64& random, std::span<float> values) {
  std::normal_distribution<float> normal;
  for (float& x : values) {
    x = normal(random);
    if (kind != DataKind::heavy) continue;
    // Over the root of a third of the sum of three squares: Student's t.
    float squares = 0;
    for (int i = 0; i < 3; ++i) squares += std::pow(normal(random), 2.0f);
    x /= std::sqrt(squares / 3.0f);
  }
}

float roundedToBfloat16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
}

}  // namespace

Input::Input(DataKind kind, Signs signs, int ranks, std::size_t elems, std::uint64_t seed, float size)
    : rows_(static_cast<std::size_t>(ranks), std::vector<float>(elems)) {
  onEachRank(ranks, [&](int rank) {
    std::seed_seq words{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32), static_cast<std::uint32_t>(rank)};
    std::mt19937_64 random(words);
    std::vector<float>& row = rows_[static_cast<std::size_t>(rank)];
    draw(kind, random, row);
    for (float& x : row) x *= size;
  });
  alignSigns(signs);
}

Input::Input(const CapturedStep& step, Signs signs) {
  for (const std::string& path : step.paths) {
    rows_.push_back(readGradients(path));
    if (rows_.back().size() != rows_.front().size()) throw ToolError(path + ": holds another number of values than rank 0's file");
  }
  alignSigns(signs);
}

void Input::alignSigns(Signs signs) {
  if (signs == Signs::independent) return;
  for (std::size_t rank = rows_.size(); rank-- > 0;) {  // rank 0, whose signs the others get, last
    for (std::size_t i = 0; i < rows_[rank].size(); ++i) {
      rows_[rank][i] = signs == Signs::positive ? std::fabs(rows_[rank][i]) : std::copysign(rows_[rank][i], rows_[0][i]);
    }
  }
}

void Input::roundToBfloat16() {
  for (std::vector<float>& row : rows_) std::transform(row.begin(), row.end(), row.begin(), roundedToBfloat16);
}

std::vector<double> Input::exactSum(int ranks) const {
  std::vector<double> sum(elems(), 0.0);
  for (int rank = 0; rank < ranks; ++rank) {
    const std::span<const float> values = row(rank);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(values[i]);
  }
  return sum;
}

std::vector<double> Input::largestOfBlocks(int ranks, std::size_t blockElems) const {
  std::vector<double> sums((elems() + blockElems - 1) / blockElems, 0.0);
  for (int rank = 0; rank < ranks; ++rank) {
    const std::span<const float> values = row(rank);
    for (std::size_t block = 0; block < sums.size(); ++block) {
      float largest = 0;
      for (std::size_t i = block * blockElems; i < std::min(values.size(), (block + 1) * blockElems); ++i) {
        largest = std::max(largest, std::fabs(values[i]));
      }
      sums[block] += static_cast<double>(largest);
    }
  }
  return sums;
}

}  // namespace qccl::bench::numerics
