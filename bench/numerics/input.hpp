// What the ranks put in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "numerics/case.hpp"
#include "numerics/gradient_files.hpp"

namespace qccl::bench::numerics {

// The values of all ranks, FP32. W ranks get the first W rows.
class Input {
 public:
  // Normal values, or heavy-tailed ones (Student's t with 3 degrees of freedom), times `size`; a function of seed, rank and element.
  Input(DataKind kind, Signs signs, int ranks, std::size_t elems, std::uint64_t seed, float size = 1);

  // Gradients captured in one step of a training run; as many ranks as the run had.
  Input(const CapturedStep& step, Signs signs);

  // Rounds all values to BF16, to nearest even.
  void roundToBfloat16();

  int ranks() const { return static_cast<int>(rows_.size()); }
  std::size_t elems() const { return rows_.front().size(); }
  std::span<const float> row(int rank) const { return rows_[static_cast<std::size_t>(rank)]; }

  // Sum over the first `ranks` rows, in double.
  std::vector<double> exactSum(int ranks) const;

  // For each block of blockElems elements, the sum over ranks of the largest magnitude in it.
  std::vector<double> largestOfBlocks(int ranks, std::size_t blockElems) const;

 private:
  void alignSigns(Signs signs);

  std::vector<std::vector<float>> rows_;
};

}  // namespace qccl::bench::numerics
