// qccl-info: what this library is, what it would do here, and what can be set.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "info/library_facts.hpp"
#include "info/print.hpp"

namespace {

struct Options {
  bool config = false;
  bool configMarkdown = false;
  bool algorithms = false;
  bool tuning = false;
  bool json = false;
};

std::string chosenPages(const Options& options) {
  using namespace qccl::bench;  // NOLINT(google-build-using-namespace): one function
  if (options.configMarkdown) return settingsMarkdown(readSettingTable());
  if (options.tuning) return readTuningTable();
  const LibraryFacts facts = readLibraryFacts();
  if (options.json) return jsonPage(facts);
  if (options.config) return settingsPage(facts.settings);
  if (options.algorithms) return algorithmsPage(facts.algorithms);
  return aboutPage(facts) + "\n" + settingsPage(facts.settings) + "\n" + algorithmsPage(facts.algorithms) + "\nTuning table\n" +
         facts.tuning;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "What this qccl is: version, build, transports, processor, settings, algorithms and tuning table. Without a flag: all of it.",
      "qccl-info");
  auto* config = app.add_flag("--config", options.config, "Only the settings with the values in force here");
  auto* markdown = app.add_flag("--config-markdown", options.configMarkdown, "The table of settings as docs/config.md");
  auto* algorithms = app.add_flag("--algorithms", options.algorithms, "Only the table of algorithms with their error bounds");
  auto* tuning = app.add_flag("--tuning", options.tuning,
                              "Only the tuning table in effect: the rows of QCCL_TUNING_TABLE before those built in (docs/tuning.md)");
  auto* json = app.add_flag("--json", options.json, "Everything as one JSON object");
  for (auto* one : {config, markdown, algorithms, tuning, json}) {
    for (auto* other : {config, markdown, algorithms, tuning, json}) {
      if (one != other) one->excludes(other);
    }
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    std::fprintf(stderr, "qccl-info: %s; see qccl-info --help\n", error.what());
    return 2;
  }
  try {
    const std::string page = chosenPages(options);
    std::fwrite(page.data(), 1, page.size(), stdout);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "qccl-info: %s\n", error.what());
    return 1;
  }
}
