// The options of a command as a configuration file.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace qccl::train {

// A section named after the command with a line for each option that was given or has a default: what --config reads back to the same
// values.
std::string configOf(const CLI::App& command);

}  // namespace qccl::train
