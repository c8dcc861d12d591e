#include "perf/tune_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace qccl::bench {
namespace {

struct Column {
  std::string name;
  const Way* way;
};

std::vector<Column> columnsOf(const Options& options, const TuneTimes& times) {
  std::vector<Column> columns;
  for (const auto* ways : {&times.exact, &times.quantized}) {
    for (const Way& way : *ways) {
      columns.push_back({fmt::format("{}:{}", way.exact ? "none" : qcclEnumName(qcclEnumCodec, options.codec), way.algorithm), &way});
    }
  }
  return columns;
}

std::string choiceText(const Options& options, const TunedRow& row) {
  const char* codec = qcclEnumName(qcclEnumCodec, options.codec);
  std::string text = fmt::format("{}:{}", row.exact ? "none" : codec, row.algorithm);
  if (row.requested) text += fmt::format(" ({}:{} if the codec was requested)", codec, *row.requested);
  return text;
}

}  // namespace

void printTuneTimes(const Options& options, const char* transport, const qcclTuningKey_t& key, const std::string& memory,
                    const TuneTimes& times) {
  const std::vector<Column> columns = columnsOf(options, times);
  const std::vector<TunedRow> rows = tunedRows(times.sizes, times.exact, times.quantized);
  std::string page = fmt::format("# qccl-perf {} --tune  ranks {} ({})  transport {}  memory {}  dtype {}  op {}  codec {}\n",
                                 qcclEnumName(qcclEnumColl, options.collective), key.ranks, key.path, transport, memory,
                                 qcclEnumName(qcclEnumDataType, options.dtype), qcclEnumName(qcclEnumRedOp, options.op),
                                 qcclEnumName(qcclEnumCodec, options.codec));
  page += "# microseconds: median over iterations of the slowest rank, out of place; *: the fastest\n";
  page += fmt::format("# {:>12}", "size");
  for (const Column& column : columns) page += fmt::format(" {:>14}", column.name);
  page += "   choice\n";
  for (std::size_t size = 0; size < times.sizes.size(); ++size) {
    const auto faster = [&](const Column& a, const Column& b) { return a.way->times[size] < b.way->times[size]; };
    const Way* fastest = std::min_element(columns.begin(), columns.end(), faster)->way;
    page += fmt::format("  {:>12}", times.sizes[size]);
    for (const Column& column : columns) {
      page += fmt::format(" {:>13.2f}{}", column.way->times[size], column.way == fastest ? "*" : " ");
    }
    page += "   " + choiceText(options, rows[size]) + "\n";
  }
  std::fwrite(page.data(), 1, page.size(), stdout);
  std::fflush(stdout);
}

}  // namespace qccl::bench
