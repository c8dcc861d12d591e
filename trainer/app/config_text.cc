#include "app/config_text.hpp"

#include <vector>

namespace qccl::train {

namespace {

bool isNumber(const std::string& text) {
  double value = 0;
  return !text.empty() && CLI::detail::lexical_cast(text, value) && text.find_first_not_of("+-.0123456789eE") == std::string::npos;
}

// Strings have no escapes in such a file, but may be in quotes of either kind.
std::string valueText(const std::string& text) {
  if (isNumber(text) || text == "true" || text == "false") return text;
  const char quote = text.find('"') == std::string::npos ? '"' : '\'';
  return quote + text + quote;
}

}  // namespace

std::string configOf(const CLI::App& command) {
  std::string out = "[" + command.get_name() + "]\n";
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_configurable()) continue;
    const std::string name = option->get_lnames().empty() ? option->get_name(true) : option->get_lnames().front();
    const bool isFlag = option->get_type_size_max() == 0;
    std::vector<std::string> values;
    if (option->count() > 0) {
      values = isFlag ? std::vector<std::string>{"true"} : option->reduced_results();
    } else if (!option->get_default_str().empty()) {
      values = {option->get_default_str()};
    }
    if (values.empty()) continue;
    const bool isList = option->get_items_expected_max() > 1;
    out += name + "=" + (isList ? "[" : "");
    for (std::size_t i = 0; i < values.size(); ++i) out += (i > 0 ? "," : "") + valueText(values[i]);
    out += isList ? "]\n" : "\n";
  }
  return out;
}

}  // namespace qccl::train
