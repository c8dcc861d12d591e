#include "perf/report.hpp"

#include <qccl/qccl.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "common/api.hpp"
#include "perf/json_lines.hpp"
#include "perf/table.hpp"

namespace qccl::bench {
namespace {

// At once, so that a long run can be watched and a pipe sees whole lines.
void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

Report::Report(const Options& options, const char* transport, int ranks, const std::string& memory, const std::string& against)
    : options_(options), transport_(transport), ranks_(ranks) {
  if (!options.jsonPath.empty() && options.jsonPath != "-") {
    file_.open(options.jsonPath, std::ios::trunc);
    if (!file_) throw ToolError("--json " + options.jsonPath + ": cannot be written: " + std::strerror(errno));
  }
  if (showsTable()) print(tableHead(options, transport, ranks, memory, against));
}

void Report::add(const Measurement& outOfPlace, const Measurement* inPlace) {
  if (showsTable()) {
    // A codec that was asked for and not used is said once for each reason, not left to be found.
    if (outOfPlace.codec != qcclEnumName(qcclEnumCodec, options_.codec) && outOfPlace.reason != notedReason_) {
      notedReason_ = outOfPlace.reason;
      print("# codec " + outOfPlace.codec + " from here: " + notedReason_ + "\n");
    }
    print(tableRow(options_, outOfPlace, inPlace));
  }
  addLine(outOfPlace);
  if (inPlace != nullptr) addLine(*inPlace);
}

void Report::addLine(const Measurement& m) {
  ++measurements_;
  busbwSum_ += m.busbwGBs;
  if (options_.jsonPath.empty()) return;
  const std::string line = jsonLine(options_, transport_.c_str(), ranks_, m) + "\n";
  if (!showsTable()) return print(line);
  file_ << line << std::flush;
  if (!file_) throw ToolError("--json " + options_.jsonPath + ": writing failed; is the disk full?");
}

void Report::finish(std::uint64_t failures) {
  if (showsTable()) print(tableFoot(options_, failures, busbwSum_, measurements_));
}

}  // namespace qccl::bench
