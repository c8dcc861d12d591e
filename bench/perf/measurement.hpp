// What is known about one size of one run, out of place or in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace qccl::bench {

// Microseconds. An iteration takes as long as its slowest rank.
struct Timing {
  double medianUs = 0;
  double meanUs = 0;
  double minUs = 0;
  double p95Us = 0;
  std::uint64_t iterations = 0;
};

// Of the results of all ranks against the exact answer.
struct Quality {
  double snrDb = 0;                   // 10 log10(sum ref^2 / sum err^2); infinite when there is no error
  double maxErrOverBound = 0;         // largest |error| in units of what it may be; above 1 is wrong
  std::uint64_t numWrong = 0;         // elements beyond their bound; on an exact path with exact data, elements that differ at all
  std::optional<bool> rankIdentical;  // absent where ranks get different results by definition
  bool repeatable = false;            // the same call again gave the same bits, on every rank
};

struct Measurement {
  bool inPlace = false;
  std::size_t bytes = 0;  // of the message, as nccl-tests counts them
  std::size_t count = 0;  // elements, the argument of the call
  std::string algorithm;  // what the library chose; "-" where it has no choice
  std::string codec;
  int blockElems = 0;
  double predictedSnrDb = 0;         // infinite on the exact path
  std::string reason;                // why the library does it this way
  std::uint64_t wireBytes = 0;       // of the rank that sent most
  std::uint64_t exactWireBytes = 0;  // that rank's, had nothing been quantized
  Timing timing;
  std::size_t callsPerIteration = 1;
  std::optional<Timing> against;  // of the other library in the same run; absent where it has no such call
  double algbwGBs = 0;
  double busbwGBs = 0;
  std::optional<Quality> quality;  // absent with --check 0

  // Above 1: qccl is faster.
  std::optional<double> ratio() const { return against ? std::optional(against->medianUs / timing.medianUs) : std::nullopt; }

  bool failed() const { return quality && (quality->numWrong > 0 || !quality->repeatable || !quality->rankIdentical.value_or(true)); }
};

}  // namespace qccl::bench
