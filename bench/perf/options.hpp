// The command line of qccl-perf.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qccl::bench {

enum class DataKind { normal, uniform, heavy, integers };
enum class Carrier { automatic, inproc, ucx };
// Where the operands lie.
enum class MemoryKind { host, cuda };
// The other library of a comparison.
enum class Against { none, mpi, gloo, nccl };

struct Options {
  qcclColl_t collective = qcclCollAllReduce;
  qcclDataType_t dtype = qcclFloat32;
  qcclRedOp_t op = qcclSum;
  qcclAlgo_t algorithm = qcclAlgoAuto;
  qcclCodec_t codec = qcclCodecNone;
  qcclScale_t scale = qcclScaleFloat32;
  qcclRounding_t rounding = qcclRoundNearest;
  int blockElems = 256;
  std::uint64_t quantMinBytes = 0;  // the threshold below which the library takes the exact path
  bool keepCodec = false;           // the codec is requested with every call, and not replaced where the exact path is faster
  std::optional<double> minSnrDb;   // demanded of quantized calls; none: as QCCL_MIN_SNR_DB

  int ranks = 0;  // 0: not given
  Carrier carrier = Carrier::automatic;
  int root = 0;
  MemoryKind memory = MemoryKind::host;
  bool graph = false;  // calls are captured in a CUDA graph, and its replays timed
  Against against = Against::none;
  std::string ncclLib;  // file of --against nccl; empty: found by itself

  std::size_t minBytes = 1024;
  std::size_t maxBytes = std::size_t{64} << 20;
  std::size_t factor = 4;

  int iterations = 0;  // 0: as many as fit into `seconds`
  int warmup = 5;
  double seconds = 0.25;  // for one size, out of place or in place

  bool check = true;
  DataKind data = DataKind::normal;
  std::uint64_t seed = 1;
  std::string jsonPath;  // empty: none; "-": standard output, without the table

  std::string tunePath;                                   // of the tuning table to be written; empty: an ordinary run
  std::vector<qcclDataType_t> tuneTypes = {qcclFloat32};  // for each of these, in place of dtype

  // minBytes, minBytes * factor, ... up to maxBytes.
  std::vector<std::size_t> sizes() const;
};

const char* dataKindName(DataKind kind);
const char* againstName(Against against);
const char* memoryName(MemoryKind memory);
// As the library names it.
qcclMemory_t memoryOf(const Options& options);

// Throws ToolError for a bad command line. nothing: the help was asked for and printed.
std::optional<Options> parseOptions(int argc, char** argv);

// "64K", "1M", "3G" or plain digits -> bytes (powers of 1024). Throws ToolError naming `flag`.
std::size_t parseSize(const std::string& flag, const std::string& text);

}  // namespace qccl::bench
