#include "app/log_reader.hpp"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/error.hpp"

namespace qccl::train {

namespace {

using Json = nlohmann::json;

// False if the record is not one of ours.
bool take(const Json& record, RunCurves& curves) {
  const std::string kind = record.at("kind");
  if (kind == "config") {
    curves.name = record.at("run");
    const long long start = record.at("start_step");
    curves.trainLoss.erase(curves.trainLoss.upper_bound(start), curves.trainLoss.end());
    curves.valLoss.erase(curves.valLoss.upper_bound(start), curves.valLoss.end());
  } else if (kind == "step" && record.at("loss").is_number()) {
    curves.trainLoss[record.at("step")] = record.at("loss");
  } else if (kind == "eval" && record.at("val_loss").is_number()) {
    curves.valLoss[record.at("step")] = record.at("val_loss");
  }
  return true;
}

}  // namespace

RunCurves readRunLog(const std::string& path) {
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path)) failTrain("cannot read the log ", path);
  RunCurves curves;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty()) continue;
    const Json record = Json::parse(line, nullptr, false);
    try {
      if (!record.is_discarded() && take(record, curves)) continue;
    } catch (const Json::exception&) {
      // counted below
    }
    ++curves.damagedLines;
  }
  if (curves.trainLoss.empty() && curves.valLoss.empty())
    failTrain(path, " holds no step of a run; give the log.jsonl of `qccl-train train`");
  if (curves.name.empty()) curves.name = path;
  return curves;
}

}  // namespace qccl::train
