// Is the result right? Against the exact answer, worked out in double from every rank's regenerated inputs.
#pragma once

#include <qccl/qccl.h>

#include <cstdint>

#include "perf/collective.hpp"
#include "perf/input_data.hpp"
#include "perf/measurement.hpp"
#include "perf/options.hpp"
#include "perf/rank.hpp"

namespace qccl::bench {

// Sums over the elements that one rank has checked.
struct ErrorSums {
  double reference2 = 0;  // sum of ref^2
  double error2 = 0;      // sum of err^2
  double maxOverBound = 0;
  std::uint64_t numWrong = 0;
};

// Checks this rank's share of `result` (all of it where ranks get different results, else a W-th: every rank holds the same bits, which is
// checked by hash). Needs memory for a tile only. `plan` says how the library made the result.
ErrorSums checkResult(const Options& options, const Shape& shape, const InputData& data, const qcclPlan_t& plan, const void* result,
                      int rank, int ranks);

// 64 bits that differ when the bytes do.
std::uint64_t hashBytes(const void* bytes, std::size_t count);

// Adds up what all ranks found, and compares hashes of their first and second results. Collective.
Quality combine(const ErrorSums& mine, std::uint64_t firstHash, std::uint64_t secondHash, qcclColl_t collective, Rank& rank);

}  // namespace qccl::bench
