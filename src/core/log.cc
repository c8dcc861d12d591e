#include "core/log.hpp"

#include <cstdio>

#include "core/settings.hpp"

namespace qccl {

LogLevel logLevel() {
  static const LogLevel level = [] {
    try {
      const std::string text = readSettings().logLevel;
      return text == "debug" ? LogLevel::debug : text == "info" ? LogLevel::info : text == "warn" ? LogLevel::warn : LogLevel::none;
    } catch (const Error&) {
      return LogLevel::warn;  // the bad setting itself is reported by the call that needs it
    }
  }();
  return level;
}

void logLine(LogLevel level, const std::string& text) {
  static const char* const names[] = {"", "warn", "info", "debug"};
  std::fprintf(stderr, "qccl [%s] %s\n", names[static_cast<int>(level)], text.c_str());
}

}  // namespace qccl
