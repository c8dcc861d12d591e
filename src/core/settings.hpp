// The one table of settings. Each row {variable, type, default, unit, allowed values, doc} parses and checks itself, is printed by
// `qccl-info --config` and becomes a row of docs/config.md. A bad value is an error that names the variable; nothing is guessed.
#pragma once

#include <qccl/qccl.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace qccl {

struct Settings {
  std::string transport = "auto";
  std::string interfaceName;  // empty: first that is up
  int timeoutMs = 0;
  std::string logLevel;
  std::string kernels;
  int codec = 0;
  int blockElems = 0;
  int scale = 0;
  bool errorFeedback = false;
  int algorithm = 0;
  std::string tuningTable;  // a file; empty: the one built in
  int ranksPerHost = 0;
  int rounding = 0;
  std::uint64_t minBytes = 0;
  double minSnrDb = 0;
  int inspectEvery = 0;
  std::uint64_t tileBytes = 0;
  int tilesInFlight = 0;
  int threadBlocks = 0;
  std::string gpuPath = "auto";
  std::string ncclLibrary;  // empty: libnccl.so.2
  std::uint64_t ncclTileBytes = 0;
  std::string rendezvous;
  std::string secret;
};

struct SettingRow {
  const char* name;
  const char* type;
  const char* defaultValue;
  const char* unit;
  const char* allowed;
  const char* doc;
  // Parses `text` into the struct; throws Error(qcclInvalidArgument) naming the variable.
  void (*parse)(const SettingRow& row, const std::string& text, Settings& settings);
};

const std::vector<SettingRow>& settingTable();

// The environment as it is now, over the defaults. Read when a communicator is made (and by the tools), never cached, so that a program can
// set variables before its first call. Throws Error(qcclInvalidArgument) for a bad value.
Settings readSettings();

// QCCL_ variables of the environment that are no setting: most likely misspelt, worth a warning.
std::vector<std::string> unknownSettings();

// "64K", "1M", "3G" or plain digits (powers of 1024) -> bytes. Throws Error(qcclInvalidArgument) with `name` in the sentence.
std::uint64_t parseBytes(const char* name, const std::string& text);

}  // namespace qccl
