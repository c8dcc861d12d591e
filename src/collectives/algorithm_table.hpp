// The all-reduce algorithms as data: what the selector reads and qccl-info prints. A new algorithm is a schedule file and a row.
#pragma once

#include <qccl/qccl.h>

#include <vector>

#include "collectives/call.hpp"
#include "collectives/rank_layout.hpp"
#include "collectives/schedule.hpp"

namespace qccl::collectives {

struct AlgorithmRow {
  qcclAlgoInfo_t info;
  // How often the value of one element is quantized on its way, at most. Where that depends on a layout which is not known: for the worst.
  int (*quantizations)(const RankLayout& ranks);
  // Noise power of the result, relative to its signal power, that independent inputs can expect, in units of that of one quantization of
  // one value (docs/numerics.md derives it). The layout must be known where needsHosts.
  double (*noise)(const RankLayout& ranks);
  // Chunks that the message is cut into.
  int (*chunks)(const RankLayout& ranks);
  Schedule (*schedule)(int rank, const RankLayout& ranks);
  // Whether it can run only if it is known how the ranks lie on hosts.
  bool needsHosts = false;
};

const std::vector<AlgorithmRow>& algorithmTable();

// Throws Error(qcclInvalidArgument) for a value that is no row (auto included).
const AlgorithmRow& algorithmRow(qcclAlgo_t algorithm);

// The factor of qcclGetErrorBound: q quantizations in a row, each wrong by at most e times the largest magnitude of what it codes, are
// together wrong by at most
// ((1 + e)^q - 1) times the sum over ranks of the largest magnitudes (docs/numerics.md derives it).
double errorBoundFactor(int quantizations, const Quantization& quant);

}  // namespace qccl::collectives
