// The choice of algorithm as data: which one is fastest for which call. A text file, measured by qccl-perf --tune (docs/tuning.md), before
// rows that are built in.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qccl::collectives {

// How the ranks of a communicator reach one another. On host memory: whether they share a host. On GPU memory: writing into one another's
// memory, into memory of their host, or by way of NCCL.
enum class RankPath { oneHost, severalHosts, peer, host, nccl };
const char* pathName(RankPath path);

// A row is for the calls that it names, and for any where it names none.
struct TuningKey {
  struct Range {
    int first = 0;
    int last = std::numeric_limits<int>::max();
    bool contains(int value) const { return first <= value && value <= last; }
    bool operator==(const Range&) const = default;
  };

  static constexpr int kQuantized = -1;  // of codec: any but none

  qcclColl_t coll = qcclCollAllReduce;
  bool onDevice = false;
  std::optional<RankPath> path;
  Range ranks;
  Range ranksPerHost;  // where the layout is not known: only in the range of all
  std::optional<qcclDataType_t> dtype;
  int codec = kQuantized;  // that is asked for

  bool operator==(const TuningKey&) const = default;
};

struct TuningRow {
  static constexpr std::uint64_t kAnySize = std::numeric_limits<std::uint64_t>::max();

  TuningKey key;
  std::uint64_t upToBytes = kAnySize;
  bool exact = false;                       // faster than the codec that is asked for; always with none
  qcclAlgo_t algorithm = qcclAlgoAuto;      // auto: the direct exchange of reduce-scatter
  std::optional<qcclAlgo_t> keptAlgorithm;  // for calls whose codec may not be replaced; none: not known
  bool builtIn = false;
};

// What a call is looked up by.
struct TuningQuery {
  qcclColl_t coll = qcclCollAllReduce;
  bool onDevice = false;
  RankPath path = RankPath::oneHost;
  int ranks = 1;
  int ranksPerHost = 0;  // 0: not known
  qcclDataType_t dtype = qcclFloat32;
  qcclCodec_t codec = qcclCodecNone;
  std::uint64_t bytes = 0;
};

class TuningTable {
 public:
  // Rows of one key need not stand together: the key has the place of its first one.
  explicit TuningTable(const std::vector<TuningRow>& rows);

  // Of the rows that match and that are `usable`, those of the first key in the table; of them the one with the smallest upToBytes that is
  // not below the call's bytes. A key that has none is passed over. nullptr: no row at all.
  const TuningRow* find(const TuningQuery& query, const std::function<bool(const TuningRow&)>& usable) const;

  // Those of a key together, by size.
  const std::vector<TuningRow>& rows() const { return rows_; }

 private:
  std::vector<TuningRow> rows_;
};

// Rows as text, with the line that names the version before them; what parseTuning reads.
std::string formatTuning(const std::vector<TuningRow>& rows);

// `source` is named in errors: a file. Throws Error(qcclInvalidArgument) naming the line and what to write there.
std::vector<TuningRow> parseTuning(const std::string& source, const std::string& text, bool builtIn);

// Those built in, as text and as a table.
const char* builtInTuningText();
const std::shared_ptr<const TuningTable>& builtInTuning();

// The rows of the file (empty: none) before those built in; a key of the file replaces the same one built in. Throws
// Error(qcclInvalidArgument) for a file that cannot be read or is wrong.
std::shared_ptr<const TuningTable> readTuning(const std::string& path);

}  // namespace qccl::collectives
