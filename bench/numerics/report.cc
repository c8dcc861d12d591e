#include "numerics/report.hpp"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "common/api.hpp"

namespace qccl::bench::numerics {
namespace {

using Json = nlohmann::ordered_json;

// Four digits: what the repetitions support. null: infinite.
Json number(double value, int decimals) {
  if (!std::isfinite(value)) return nullptr;
  const double unit = std::pow(10.0, decimals);
  return std::round(value * unit) / unit;
}

Json scientific(double value) {
  if (!std::isfinite(value)) return nullptr;
  char text[32];
  std::snprintf(text, sizeof(text), "%.3e", value);
  return std::strtod(text, nullptr);
}

std::string dataName(DataKind data, std::int64_t step) {
  return data == DataKind::gradients ? std::string("gradients@") + std::to_string(step) : nameOf(data);
}

// The baselines have no codec but a type.
std::string codecName(const Case& c) {
  return c.codec != qcclCodecNone ? qcclEnumName(qcclEnumCodec, c.codec) : std::string("exact:") + qcclEnumName(qcclEnumDataType, c.dtype);
}

}  // namespace

Report::Report(const Options& options) : printsTables_(options.jsonPath != "-") {
  if (options.jsonPath.empty() || options.jsonPath == "-") return;
  json_.reset(std::fopen(options.jsonPath.c_str(), "w"));
  if (!json_) throw ToolError("--json " + options.jsonPath + ": " + std::strerror(errno));
}

void Report::printHeader(const std::string& table, const char* columns) {
  if (table_ == table) return;
  table_ = table;
  std::printf("\n%s\n%s\n", table.c_str(), columns);
}

void Report::writeLine(const std::string& line) {
  std::FILE* out = json_ ? json_.get() : stdout;
  if (!json_ && printsTables_) return;
  std::fprintf(out, "%s\n", line.c_str());
  std::fflush(out);
}

void Report::add(const Case& c, const Result& r) {
  const char* algorithm = qcclEnumName(qcclEnumAlgo, c.algorithm);
  const char* scale = qcclEnumName(qcclEnumScale, c.scale);
  const char* rounding = qcclEnumName(qcclEnumRounding, c.rounding);
  const std::string data = dataName(c.data, c.step);
  if (printsTables_) {
    printHeader(
        c.table,
        "  W algo    codec           scale    block rounding   data           signs        B/value  SNR dB  +-     predicted rel.L2    "
        "bias      +-       slope-1   +-       worst/bound");
    std::printf("%3d %-7s %-15s %-8s %5d %-10s %-14s %-11s %8.4f %7.2f %6.3f %9.2f %9.2e %9.1e %8.1e %9.1e %8.1e %8.3f\n", c.ranks,
                algorithm, codecName(c).c_str(), scale, c.blockElems, rounding, data.c_str(), nameOf(c.signs), r.bytesPerValue, r.snrDb,
                r.snrDeviation, r.predictedSnrDb, r.relativeL2, r.bias, r.biasError, r.slope - 1, r.slopeError, r.worstOverBound);
    std::fflush(stdout);
  }
  Json line;
  line["table"] = c.table;
  line["ranks"] = c.ranks;
  line["algo"] = algorithm;
  line["ranks_per_host"] = c.ranksPerHost;
  line["codec"] = qcclEnumName(qcclEnumCodec, c.codec);
  line["dtype"] = qcclEnumName(qcclEnumDataType, c.dtype);
  line["scale"] = scale;
  line["block"] = c.blockElems;
  line["rounding"] = rounding;
  line["data"] = data;
  line["signs"] = nameOf(c.signs);
  line["elems"] = r.elems;
  line["reps"] = r.repetitions;
  line["bytes_per_value"] = number(r.bytesPerValue, 5);
  line["snr_db"] = number(r.snrDb, 3);
  line["snr_sd"] = number(r.snrDeviation, 3);
  line["predicted_snr_db"] = number(r.predictedSnrDb, 3);
  line["rel_l2"] = scientific(r.relativeL2);
  line["bias"] = scientific(r.bias);
  line["bias_se"] = scientific(r.biasError);
  line["slope_minus_1"] = scientific(r.slope - 1);
  line["slope_se"] = scientific(r.slopeError);
  line["worst_over_bound"] = number(r.worstOverBound, 4);
  writeLine(line.dump());
}

void Report::add(DataKind data, std::int64_t step, std::size_t elems, const OutlierResult& r) {
  const char* codec = qcclEnumName(qcclEnumCodec, r.what.codec);
  const char* scale = qcclEnumName(qcclEnumScale, r.what.scale);
  const std::string name = dataName(data, step);
  if (printsTables_) {
    printHeader("outliers", "data           codec scale    block exact values  B/value  SNR dB");
    const std::string exact =
        r.what.exactValues == 0 ? "-" : std::to_string(r.what.exactValues) + " of " + std::to_string(r.what.valueBytes) + " bytes";
    std::printf("%-14s %-5s %-8s %5d %-13s %8.4f %7.2f\n", name.c_str(), codec, scale, r.what.blockElems, exact.c_str(), r.bytesPerValue,
                r.snrDb);
  }
  Json line;
  line["table"] = "outliers";
  line["data"] = name;
  line["codec"] = codec;
  line["scale"] = scale;
  line["block"] = r.what.blockElems;
  line["exact_values"] = r.what.exactValues;
  line["exact_value_bytes"] = r.what.valueBytes;
  line["elems"] = elems;
  line["bytes_per_value"] = number(r.bytesPerValue, 5);
  line["snr_db"] = number(r.snrDb, 3);
  writeLine(line.dump());
}

}  // namespace qccl::bench::numerics
