#include <cstdio>
#include <memory>

#include "app/commands.hpp"
#include "app/plot.hpp"
#include "model/error.hpp"

namespace qccl::train {

namespace {

struct PlotCommandOptions {
  std::vector<std::string> logs;
  std::string out = "loss.png";
  std::vector<std::string> names;
  PlotOptions plot;
};

int runPlot(const PlotCommandOptions& options) {
  if (!options.names.empty() && options.names.size() != options.logs.size()) {
    failTrain(options.names.size(), " names for ", options.logs.size(), " logs; give one --name for each log, or none");
  }
  std::vector<RunCurves> runs;
  for (std::size_t i = 0; i < options.logs.size(); ++i) {
    runs.push_back(readRunLog(options.logs[i]));
    if (!options.names.empty()) runs.back().name = options.names[i];
    if (runs.back().damagedLines > 0)
      std::fprintf(stderr, "qccl-train: %s: %zu damaged lines left out\n", options.logs[i].c_str(), runs.back().damagedLines);
  }
  plotRuns(runs, options.out, options.plot);
  std::printf("wrote %s\n", options.out.c_str());
  return 0;
}

}  // namespace

Command addPlotCommand(CLI::App& app) {
  const auto options = std::make_shared<PlotCommandOptions>();
  app.add_option("logs", options->logs, "log.jsonl of one or several runs; gaps are to the first")->required();
  app.add_option("--out", options->out, "PNG to write")->capture_default_str();
  app.add_option("--name", options->names, "Name for the legend, once for each log (default: that in the log)")->expected(1)->take_all();
  app.add_option("--title", options->plot.title, "Title of the picture");
  app.add_option("--width", options->plot.widthPixels, "Pixels")->check(CLI::Range(300, 8000))->capture_default_str();
  app.add_option("--height", options->plot.heightPixels, "Pixels")->check(CLI::Range(300, 8000))->capture_default_str();
  return [options](char* const*) { return runPlot(*options); };
}

}  // namespace qccl::train
