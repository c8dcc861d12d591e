// Lower bounds of numbers among the flags. CLI11's own (PositiveNumber, NonNegativeNumber) answer a wrong number with the range of double,
// in 309 digits.
#pragma once

#include <CLI/CLI.hpp>

namespace qccl::train {

CLI::Validator oneOrMore();   // of whole numbers
CLI::Validator zeroOrMore();  // of any
CLI::Validator aboveZero();

}  // namespace qccl::train
