// One row of the experiment: what is summed and how, and what came out.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace qccl::bench::numerics {

enum class DataKind { normal, heavy, gradients };

// Of the ranks' values against one another. independent: as they were drawn. aligned: each element has rank 0's sign on every rank.
// positive: all values are magnitudes.
enum class Signs { independent, aligned, positive };

const char* nameOf(DataKind kind);
const char* nameOf(Signs signs);

struct Case {
  std::string table;
  qcclAlgo_t algorithm = qcclAlgoRing;
  qcclCodec_t codec = qcclCodecInt8;
  qcclScale_t scale = qcclScaleFloat32;
  int blockElems = 256;
  qcclRounding_t rounding = qcclRoundNearest;
  qcclDataType_t dtype = qcclFloat32;
  int ranks = 8;
  int ranksPerHost = 0;  // of hier
  DataKind data = DataKind::normal;
  Signs signs = Signs::independent;
  std::int64_t step = 0;  // of captured gradients
};

// How a result differs from the exact sum.
struct Measure {
  double signal = 0;  // sum of squares of the exact sums
  double noise = 0;   // and of the errors
  double bias = 0;    // mean error over the mean magnitude of the exact sums
  double biasError = 0;
  double slope = 1;  // of the result against the exact sum: least squares through the origin
  double slopeError = 0;
  double worstOverBound = 0;

  double snrDb() const;
  double relativeL2() const;
};

// Over repetitions with other data and other noise.
struct Result {
  std::size_t elems = 0;
  std::size_t repetitions = 0;
  double bytesPerValue = 0;  // on the wire
  double predictedSnrDb = 0;
  double snrDb = 0;
  double snrDeviation = 0;  // standard deviation; 0 with one repetition
  double relativeL2 = 0;
  double bias = 0;
  double biasError = 0;
  double slope = 1;
  double slopeError = 0;
  double worstOverBound = 0;
};

Result summarize(const std::vector<Measure>& measures);

}  // namespace qccl::bench::numerics
