// The subcommands of qccl-train. Each function adds its flags to `app`; the returned function runs the command after parsing and gives the
// program's exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace qccl::train {

// argv is that of the program: `train --ranks N` starts the same command again as its ranks.
using Command = std::function<int(char* const argv[])>;

Command addPrepareCommand(CLI::App& app);
Command addTrainCommand(CLI::App& app);
Command addEvalCommand(CLI::App& app);
Command addGenerateCommand(CLI::App& app);
Command addActivationsCommand(CLI::App& app);
Command addPlanCommand(CLI::App& app);
Command addPlotCommand(CLI::App& app);

}  // namespace qccl::train
