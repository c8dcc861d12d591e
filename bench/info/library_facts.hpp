// What the loaded library says about itself, read through its public tables.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace qccl::bench {

struct Setting {
  std::string name;
  std::string type;
  std::string defaultValue;
  std::string value;  // in force in this process
  std::string unit;
  std::string allowed;
  std::string doc;
  bool isSet = false;  // by the environment
};

// The number of ranks that the table of algorithms shows error bounds for.
inline constexpr int kBoundRanks[] = {2, 4, 8};

struct AlgorithmRow {
  std::string name;
  std::string summary;
  std::string wireBytes;
  std::string quantizations;
  std::string bestFor;
  // |error| <= factor * sum over ranks of the largest magnitude in the block, with codec int8, one factor for each of kBoundRanks.
  std::vector<double> nearestBounds;
  std::vector<double> stochasticBounds;
};

struct LibraryFacts {
  std::string version;
  std::vector<std::pair<std::string, std::string>> build;  // key, value, in the library's order
  std::vector<std::pair<std::string, std::string>> cpu;    // of this machine
  std::vector<Setting> settings;
  std::vector<AlgorithmRow> algorithms;
  std::string tuning;  // the tuning table in effect here
};

// Throws ToolError, for one when the environment holds a bad setting.
LibraryFacts readLibraryFacts();
std::vector<Setting> readSettingTable();

// As the file of one would hold it.
std::string readTuningTable();

}  // namespace qccl::bench
