// What every rank puts in. A pure function of (seed, rank, element), so that any rank can work out what all others sent, a tile at a time.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "perf/options.hpp"

namespace qccl::bench {

class InputData {
 public:
  InputData(const Options& options, int ranks);

  // Rank `rank`'s elements [first, first + values.size()), as the values that the data type holds.
  void values(int rank, std::size_t first, std::span<double> values) const;

  // The same as elements of the data type; `elems` of them from element 0.
  void fill(int rank, std::size_t elems, void* elements) const;

  // Every partial sum or product over ranks is exact in the data type, so the result of an exact path is known to the bit.
  bool isExact() const { return exact_; }

 private:
  void draw(int rank, std::size_t first, std::span<double> values) const;

  qcclDataType_t dtype_;
  DataKind kind_;
  bool product_;
  bool exact_;
  int ranks_;
  std::uint64_t seed_;
  double largestWhole_ = 0;  // magnitude of whole-number data
};

}  // namespace qccl::bench
