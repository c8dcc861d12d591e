// Reading the flags of a tool.
#pragma once

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "common/api.hpp"

namespace qccl::bench {

// "a, b, c".
inline std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// Reads the command line into what `app` was given; false: the help was asked for and printed. Throws ToolError for a bad one.
inline bool parseCommandLine(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw ToolError(std::string(error.what()) + "; see " + app.get_name() + " --help");
    app.exit(error, std::cout, std::cerr);
    return false;
  }
}

}  // namespace qccl::bench
