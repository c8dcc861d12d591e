// What the codec benchmarks take on the command line besides Google Benchmark's options.
#pragma once

#include "quant/wire_format.hpp"

namespace qccl::quant {

// Takes --codec, --scale and --block out of the arguments; false, with a sentence printed in the name of `program`, if one of them is
// wrong.
bool takeFormat(const char* program, int* argc, char** argv, PackedFormat* format);

}  // namespace qccl::quant
