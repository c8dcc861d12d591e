// Runs gnuplot.
#pragma once

#include <string>

namespace qccl::train {

// Feeds `script` to gnuplot's standard input; no shell is involved. Throws TrainError if gnuplot is missing or fails (with what it said).
void runGnuplot(const std::string& script);

// Text as a gnuplot string that means exactly this text: quoted, with control characters as blanks.
std::string gnuplotQuoted(const std::string& text);

}  // namespace qccl::train
