// qccl-train: text in, a trained LLaMA out.
#include <qccl/launch.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <utility>
#include <vector>

#include "app/blas_choice.hpp"
#include "app/commands.hpp"
#include "app/config_text.hpp"
#include "app/train_run.hpp"

namespace {

// Errors of one rank among several say which.
int report(const char* sentence) {
  qcclLaunchInfo_t launch{};
  if (qcclLaunchGetInfo(&launch) == qcclSuccess && launch.size > 1) {
    std::fprintf(stderr, "qccl-train: rank %d: %s\n", launch.rank, sentence);
  } else {
    std::fprintf(stderr, "qccl-train: %s\n", sentence);
  }
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace qccl::train;
  correctBlasKernels(argv);
  CLI::App app("qccl-train: prepares text, trains a LLaMA on one or several ranks whose gradients travel over qccl, and tries it out.",
               "qccl-train");
  app.require_subcommand(1);
  app.fallthrough();
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_config("--config", "",
                 "Read options from this file (TOML: a section for each command, a key for each long flag); flags win over it");
  bool printConfig = false;
  app.add_flag("--print-config", printConfig, "Print the options of the command that have a value as such a file, and end")
      ->configurable(false);

  std::vector<std::pair<CLI::App*, Command>> commands;
  const auto add = [&](const char* name, const char* description, Command (*addCommand)(CLI::App&)) {
    CLI::App* command = app.add_subcommand(name, description);
    commands.emplace_back(command, addCommand(*command));
  };
  add("prepare", "Turn text into token files and a tokenizer", addPrepareCommand);
  add("train", "Train a model", addTrainCommand);
  add("eval", "Measure the validation loss of a checkpoint", addEvalCommand);
  add("generate", "Continue a text", addGenerateCommand);
  add("activations", "Compare plans for saved activations: bytes, and what they do to the gradients", addActivationsCommand);
  add("plan", "Print what saved activations take under a plan, and bits for the stages of a pipeline", addPlanCommand);
  add("plot", "Draw the loss curves of one or several runs", addPlotCommand);
  CLI11_PARSE(app, argc, argv);

  for (const auto& [command, run] : commands) {
    if (!command->parsed()) continue;
    if (printConfig) {
      std::fputs(configOf(*command).c_str(), stdout);
      return 0;
    }
    try {
      return run(argv);
    } catch (const ReportedElsewhere&) {
      // The rank that says why answers for the run: a launcher ends the others when one ends badly, and that one may still be writing.
      return 0;
    } catch (const std::exception& error) {
      return report(error.what());
    }
  }
  return 1;
}
