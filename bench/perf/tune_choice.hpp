// From measured times to the rows of a tuning table: pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace qccl::bench {

// One way to make a call. Times: one for each size, in the order of sizes; microseconds.
struct Way {
  std::string algorithm;  // as the table names it
  bool exact = false;
  double error = 0;  // bound of its error, in any unit; 0: exact
  std::vector<double> times;
};

// A way must be faster than this part of another's time to count as faster.
inline constexpr double kClearly = 0.98;

// For each size the index of the way to take. Ways within 2 % of the fastest count as fast as that; of these the one with the smallest
// error is taken, then the fastest. The choice of the size before stays as long as it is one of them and none of them has a smaller error,
// so that noise does not make it swing. All ways have times for the same sizes; there is at least one way.
std::vector<std::size_t> steadyChoice(const std::vector<Way>& ways);

// What one size gets.
struct TunedRow {
  std::size_t upToBytes = 0;
  bool exact = false;
  std::string algorithm;
  std::optional<std::string> requested;  // of the codec where it may not be replaced; none: it is not, or no codec was measured

  bool sameChoice(const TunedRow& other) const {
    return exact == other.exact && algorithm == other.algorithm && requested == other.requested;
  }
};

// Rows of calls that ask for a codec: the best of `quantized` against the best of `exact`; with no quantized way, of calls that ask for
// none. One row a size, in their order.
std::vector<TunedRow> tunedRows(const std::vector<std::size_t>& sizes, const std::vector<Way>& exact, const std::vector<Way>& quantized);

// Neighbours with the same choice become the row of the largest of them.
std::vector<TunedRow> merged(const std::vector<TunedRow>& rows);

}  // namespace qccl::bench
