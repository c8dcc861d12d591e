// Lines on standard error, for people: "qccl [info] rank 0 of comm0: ...". Off by default (QCCL_LOG).
#pragma once

#include "core/error.hpp"

namespace qccl {

enum class LogLevel { none = 0, warn = 1, info = 2, debug = 3 };

// The level that QCCL_LOG asks for, read once per process.
LogLevel logLevel();

void logLine(LogLevel level, const std::string& text);

template <typename... Args>
void log(LogLevel level, const Args&... args) {
  if (level <= logLevel()) logLine(level, strCat(args...));
}

}  // namespace qccl
