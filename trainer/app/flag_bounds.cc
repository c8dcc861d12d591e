#include "app/flag_bounds.hpp"

#include <cmath>

namespace qccl::train {
namespace {

// typeName is what --help shows beside the flag.
template <typename Allows>
CLI::Validator bound(const char* typeName, const char* what, Allows allows) {
  return {[=](std::string& text) {
            double value = 0;
            const bool fits = CLI::detail::lexical_cast(text, value) && std::isfinite(value) && allows(value);
            return fits ? std::string() : std::string("must be ") + what + ", not " + text;
          },
          typeName};
}

}  // namespace

CLI::Validator oneOrMore() {
  return bound("POSITIVE", "1 or more", [](double value) { return value >= 1; });
}

CLI::Validator zeroOrMore() {
  return bound("NONNEGATIVE", "0 or more", [](double value) { return value >= 0; });
}

CLI::Validator aboveZero() {
  return bound("POSITIVE", "above 0", [](double value) { return value > 0; });
}

}  // namespace qccl::train
